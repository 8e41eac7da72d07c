-- Version 5: a row on which nothing was scored has no NLL; runs that read the text of others.

-- The run that wrote the text of this one's rows, and whose costs they hold; NULL where it wrote its own. A name alone:
-- that run may lie in another store.
ALTER TABLE run ADD COLUMN text_of_run TEXT;

-- Text that a run wrote was stored with an nll of 0.
UPDATE sample SET nll=NULL, nll_m2=NULL WHERE n_tok=0;
