-- Version 3: training curves; how sure a sampler was.

-- How close the closest decision of a sampler was (of a row whose text was written by one), in the units of
-- BlockSample::margin: a difference between two runs of one seed needs a rounding error of that size.
ALTER TABLE sample ADD COLUMN margin REAL;

-- One value of a training, by the number of updates made before it was taken. The units are in the names.
CREATE TABLE curve(
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, metric TEXT NOT NULL, step INTEGER NOT NULL,
  value REAL NOT NULL, PRIMARY KEY(run_id,metric,step)) STRICT, WITHOUT ROWID;

CREATE VIEW v_curve AS
  SELECT v.model, v.task, c.metric, c.step, c.value, v.weights_sha256, c.run_id
  FROM curve c JOIN v_run v USING(run_id)
  WHERE v.superseded_by IS NULL;
