"""Records out of files from outside: JSON, CSV, Parquet and text, in a folder or below an S3 prefix."""
