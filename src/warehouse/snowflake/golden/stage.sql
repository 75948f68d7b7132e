CREATE STAGE IF NOT EXISTS sluice.incoming COMMENT = 'sluice: files on their way from a local lake';

PUT 'file:///tmp/x/*' '@sluice.incoming/0f' AUTO_COMPRESS = FALSE OVERWRITE = TRUE PARALLEL = 4;

REMOVE '@sluice.incoming/0f';
