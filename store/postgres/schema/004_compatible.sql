-- compatible 1
-- Which programs can use the tables as a step left them: those that know this
-- version, or a later one. One that says nothing is for those that know itself.
ALTER TABLE schema_versions ADD COLUMN compatible integer;
UPDATE schema_versions SET compatible = 1;
