-- Version 4: in which order texts were revealed.

-- Of a row whose text did not come from left to right: {"bytes":[...],"passes":[...]}, for each
-- token of the output in its order the bytes it spells and the network pass that revealed it. A table of its own, so
-- that who reads rows does not pass over it.
CREATE TABLE reveal(
  run_id TEXT NOT NULL REFERENCES run ON DELETE CASCADE, doc_id TEXT NOT NULL, rep INTEGER NOT NULL,
  tokens TEXT NOT NULL CHECK(json_valid(tokens)), PRIMARY KEY(run_id,doc_id,rep)) STRICT, WITHOUT ROWID;

-- A line a token, counted from 0.
CREATE VIEW v_reveal AS
  SELECT r.run_id, r.doc_id, r.rep, p.key AS token, p.value AS pass, b.value AS bytes
  FROM reveal r, json_each(r.tokens,'$.passes') p, json_each(r.tokens,'$.bytes') b
  WHERE b.key=p.key;
