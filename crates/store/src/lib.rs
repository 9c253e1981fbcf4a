//! The embedded directory: persistent entries, indexes, schema checks, a change log
