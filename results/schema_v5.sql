-- Version 5: a row on which nothing was scored has no NLL.

-- Text that a run wrote was stored with an nll of 0.
UPDATE sample SET nll=NULL, nll_m2=NULL WHERE n_tok=0;
