-- Version 2: names for runs, row counts that `list` need not recount, and views made to be looked at.

-- How many rows a finished run has; NULL while it is written.
ALTER TABLE run ADD COLUMN stored_rows INTEGER;
UPDATE run SET stored_rows=(SELECT count(*) FROM sample s WHERE s.run_id=run.run_id) WHERE status='done';

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
