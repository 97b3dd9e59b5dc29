"""Reports: sections of tables and sentences are made from records, and renderers draw them. Without torch."""
