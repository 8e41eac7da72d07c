-- Version 1 of the store. Later versions are steps appended in results/schema.cc; this file does not change
-- once files of version 1 exist. Units are in the names: _ns nanoseconds, _bytes, _tok tokens; nll is in nats.

-- The machine. env_id is the SHA-256 of j, its canonical JSON; the columns are members of j.
CREATE TABLE env(
  env_id TEXT PRIMARY KEY, host TEXT, machine TEXT, cpu TEXT, gpu TEXT, driver TEXT, os TEXT,
  j TEXT NOT NULL CHECK(json_valid(j))) STRICT;

-- The program. build_id is the SHA-256 of j.
CREATE TABLE build(
  build_id TEXT PRIMARY KEY, git_commit TEXT, dirty INTEGER, compiler TEXT, flags TEXT, torch TEXT, cuda TEXT,
  numerics_epoch INTEGER NOT NULL, j TEXT NOT NULL CHECK(json_valid(j))) STRICT;

CREATE TABLE model(
  model_id TEXT PRIMARY KEY, name TEXT NOT NULL, family TEXT NOT NULL, params INTEGER, dtype TEXT,
  weights_sha256 TEXT NOT NULL, tokenizer_sha256 TEXT, config_json TEXT CHECK(json_valid(config_json))) STRICT;

CREATE TABLE task(
  task_id TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,
  data_sha256 TEXT NOT NULL, prompt_sha256 TEXT, n_docs INTEGER,
  config_json TEXT CHECK(json_valid(config_json))) STRICT;

-- All settings of a run. config_id is the SHA-256 of j. The view v_config, made when a file is opened, has a column
-- for every setting the program knows; the columns here are those that other views need.
CREATE TABLE config(
  config_id TEXT PRIMARY KEY, j TEXT NOT NULL CHECK(json_valid(j)),
  sampler TEXT GENERATED ALWAYS AS (json_extract(j,'$.sampler.name')) VIRTUAL,
  block_size INTEGER GENERATED ALWAYS AS (json_extract(j,'$.sampler.block_size')) VIRTUAL,
  steps INTEGER GENERATED ALWAYS AS (json_extract(j,'$.sampler.steps')) VIRTUAL,
  tokens_per_step REAL GENERATED ALWAYS AS (json_extract(j,'$.sampler.tokens_per_step')) VIRTUAL) STRICT;

CREATE TABLE sweep(sweep_id TEXT PRIMARY KEY, name TEXT, spec_json TEXT NOT NULL) STRICT;

-- run_key is the SHA-256 of identity_json: what decides the numbers. A run that was measured anew points to its
-- successor. owner is who last wrote it ("host:pid"); whether that process still writes is told by the lock file
-- alone. wall_ns and load_ns add up over the sessions that ended orderly; resumes counts the later sessions.
CREATE TABLE run(
  run_id TEXT PRIMARY KEY,
  sweep_id TEXT REFERENCES sweep,
  model_id TEXT NOT NULL REFERENCES model,
  task_id TEXT NOT NULL REFERENCES task,
  config_id TEXT NOT NULL REFERENCES config,
  env_id TEXT NOT NULL REFERENCES env,
  build_id TEXT NOT NULL REFERENCES build,
  run_key TEXT NOT NULL,
  identity_json TEXT NOT NULL CHECK(json_valid(identity_json)),
  seed INTEGER NOT NULL,
  status TEXT NOT NULL CHECK(status IN('running','done','failed','partial')),
  smoke INTEGER NOT NULL DEFAULT 0,
  started_at TEXT NOT NULL, ended_at TEXT,
  cmdline TEXT, error TEXT, owner TEXT,
  resumes INTEGER NOT NULL DEFAULT 0,
  superseded_by TEXT REFERENCES run DEFERRABLE INITIALLY DEFERRED,
  wall_ns INTEGER, load_ns INTEGER, peak_rss_bytes INTEGER, threads INTEGER) STRICT;

CREATE TABLE metric_def(
  metric TEXT PRIMARY KEY, unit TEXT, better TEXT CHECK(better IN('hi','lo','none')), doc TEXT) STRICT;

-- est stands here and not in metric_def because one metric is exact for one model and a bound for another.
CREATE TABLE metric(
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, metric TEXT NOT NULL REFERENCES metric_def,
  variant TEXT NOT NULL DEFAULT '', value REAL NOT NULL, se_data REAL, se_mc REAL, ci_lo REAL, ci_hi REAL,
  ci_method TEXT, n INTEGER, n_clusters INTEGER, est TEXT,
  PRIMARY KEY(run_id,metric,variant)) STRICT, WITHOUT ROWID;

-- Output texts, once each, by the SHA-256 of the text. enc: 'raw' or 'zstd'.
CREATE TABLE blob(sha256 TEXT PRIMARY KEY, enc TEXT NOT NULL CHECK(enc IN('raw','zstd')), data BLOB NOT NULL) STRICT;

-- One document, one replicate. n_tok: scored tokens; kept_tok: generated tokens that count (accepted).
CREATE TABLE sample(
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, doc_id TEXT NOT NULL, rep INTEGER NOT NULL,
  doc_sha TEXT NOT NULL, cluster TEXT, out_sha TEXT REFERENCES blob,
  score REAL, nll REAL, nll_m2 REAL, n_mc INTEGER,
  n_tok INTEGER, n_bytes INTEGER, n_words INTEGER,
  prompt_tok INTEGER, canvas_tok INTEGER, kept_tok INTEGER, special_tok INTEGER,
  nfe INTEGER, positions INTEGER, head_rows INTEGER, cached_positions INTEGER, flops REAL,
  wall_ns INTEGER, exec_status TEXT, cache_hit INTEGER,
  PRIMARY KEY(run_id,doc_id,rep)) STRICT, WITHOUT ROWID;

CREATE TABLE timing(
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, rep INTEGER NOT NULL, phase TEXT NOT NULL,
  ns INTEGER NOT NULL, kept_tok INTEGER, nfe INTEGER, clock_mhz INTEGER, throttled INTEGER,
  PRIMARY KEY(run_id,rep,phase)) STRICT, WITHOUT ROWID;

CREATE TABLE cache(key TEXT PRIMARY KEY, out_sha TEXT NOT NULL REFERENCES blob, meta TEXT, created_at TEXT) STRICT;

CREATE TABLE gate(
  gate_id TEXT PRIMARY KEY, base_run TEXT REFERENCES run, new_run TEXT REFERENCES run, metric TEXT, test TEXT,
  margin REAL, diff REAL, ci_lo REAL, ci_hi REAL, p REAL,
  verdict TEXT CHECK(verdict IN('same','better','worse','ambiguous','empty')), at TEXT) STRICT;

CREATE TABLE paper_cell(
  paper TEXT, tbl TEXT, row TEXT, col TEXT, claimed REAL, digits INTEGER, n_claimed INTEGER, tol_class TEXT,
  tol REAL, run_id TEXT REFERENCES run, verdict TEXT, PRIMARY KEY(paper,tbl,row,col)) STRICT;

-- At most one run of a key counts: failed runs are tried again, superseded ones are history.
CREATE UNIQUE INDEX run_by_key ON run(run_key) WHERE status<>'failed' AND superseded_by IS NULL;
CREATE INDEX run_by_parts ON run(model_id,task_id,config_id,seed);
CREATE INDEX config_by_block ON config(block_size,steps);

CREATE VIEW v_run AS
  SELECT r.*, m.name AS model, m.family, m.params, m.dtype, m.weights_sha256, m.tokenizer_sha256,
         t.name AS task, t.version AS task_version, t.kind AS task_kind, t.data_sha256, t.n_docs,
         c.j AS spec_json, c.sampler, c.block_size, c.steps, c.tokens_per_step,
         b.git_commit, b.dirty, b.torch, b.numerics_epoch, e.host, e.cpu, e.gpu
  FROM run r JOIN model m USING(model_id) JOIN task t USING(task_id) JOIN config c USING(config_id)
       JOIN build b USING(build_id) JOIN env e USING(env_id);

-- Two runs joined on the documents they share, unchanged.
CREATE VIEW v_pair AS
  SELECT a.run_id AS base, b.run_id AS new, a.doc_id, a.rep, a.cluster, b.score-a.score AS d_score, b.nll-a.nll AS d_nll
  FROM sample a JOIN sample b USING(doc_id,rep)
  WHERE a.doc_sha=b.doc_sha AND a.run_id<>b.run_id;

-- What a run cost, and its rates. Tokens are the accepted ones where text was generated, else the scored ones. The
-- time is the sum over documents: model load and warm-up are not in it. A rate without its parts is NULL.
CREATE VIEW v_speed AS
  SELECT run_id, n_rows, tok, canvas_tok, prompt_tok, special_tok, nfe, positions, head_rows, cached_positions, flops, wall_ns,
         tok*1e9/nullif(wall_ns,0) AS tokens_per_second_accepted,
         canvas_tok*1e9/nullif(wall_ns,0) AS tokens_per_second_canvas,
         tok*1.0/nullif(nfe,0) AS tokens_per_forward,
         flops*1e9/nullif(wall_ns,0) AS flops_per_second
  FROM (SELECT run_id, count(*) AS n_rows, sum(coalesce(kept_tok,n_tok)) AS tok, sum(canvas_tok) AS canvas_tok,
               sum(prompt_tok) AS prompt_tok, sum(special_tok) AS special_tok, sum(nfe) AS nfe,
               sum(positions) AS positions, sum(head_rows) AS head_rows, sum(cached_positions) AS cached_positions,
               sum(flops) AS flops, sum(wall_ns) AS wall_ns
        FROM sample GROUP BY run_id);
