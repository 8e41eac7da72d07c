-- Version 3: how close the closest decision of a sampler was (of a row whose text was written by one), in the units of
-- BlockSample::margin: a difference between two runs of one seed needs a rounding error of that size.
ALTER TABLE sample ADD COLUMN margin REAL;
