-- Version 2: names for runs, row counts that `list` need not recount, and views made to be looked at.

-- How many rows a finished run has; NULL while it is written.
ALTER TABLE run ADD COLUMN stored_rows INTEGER;
UPDATE run SET stored_rows=(SELECT count(*) FROM sample s WHERE s.run_id=run.run_id) WHERE status='done';

-- The block size is a setting of likelihood runs too.
DROP VIEW v_run;
DROP INDEX config_by_block;
ALTER TABLE config DROP COLUMN block_size;
ALTER TABLE config ADD COLUMN block_size INTEGER
  GENERATED ALWAYS AS (coalesce(json_extract(j,'$.block_size'),json_extract(j,'$.sampler.block_size'))) VIRTUAL;
CREATE INDEX config_by_block ON config(block_size,steps);
CREATE VIEW v_run AS
  SELECT r.*, m.name AS model, m.family, m.params, m.dtype, m.weights_sha256, m.tokenizer_sha256,
         t.name AS task, t.version AS task_version, t.kind AS task_kind, t.data_sha256, t.n_docs,
         c.j AS spec_json, c.sampler, c.block_size, c.steps, c.tokens_per_step,
         b.git_commit, b.dirty, b.torch, b.numerics_epoch, e.host, e.cpu, e.gpu
  FROM run r JOIN model m USING(model_id) JOIN task t USING(task_id) JOIN config c USING(config_id)
       JOIN build b USING(build_id) JOIN env e USING(env_id);

-- A name that the user gave some runs: the baseline of a gate, say. Giving it again moves it.
CREATE TABLE tag(
  name TEXT NOT NULL, run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, at TEXT NOT NULL,
  PRIMARY KEY(name,run_id)) STRICT, WITHOUT ROWID;

-- Every estimate with what it is an estimate of: one line reads by itself.
CREATE VIEW v_result AS
  SELECT v.model, v.task, v.sampler, v.block_size, v.tokens_per_step, v.steps, v.seed, m.metric, m.variant, d.unit, d.better,
         m.value, m.se_data, m.se_mc, m.ci_lo, m.ci_hi, m.n, m.est, v.status, v.smoke, v.git_commit, v.cpu, v.gpu,
         v.started_at, v.cmdline, m.run_id
  FROM metric m JOIN metric_def d USING(metric) JOIN v_run v USING(run_id)
  WHERE v.superseded_by IS NULL;

-- Every verdict of a gate, latest first. base_run is NULL where the baseline lies in another store.
CREATE VIEW v_gate AS
  SELECT g.at, n.model, n.task, g.metric, g.verdict, g.diff, g.ci_lo, g.ci_hi, g.margin, g.p, g.test,
         b.git_commit AS base_commit, n.git_commit AS new_commit, g.base_run, g.new_run, g.gate_id
  FROM gate g LEFT JOIN v_run b ON b.run_id=g.base_run JOIN v_run n ON n.run_id=g.new_run
  ORDER BY g.at DESC, g.gate_id, g.metric;
