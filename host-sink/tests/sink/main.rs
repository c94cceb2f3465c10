//! What sinks leave behind, as others read it.

mod chunks;
mod contexts;
mod disk;
mod fields;
mod files;
mod guest;
mod hostile;
mod lines;
mod producer;
mod queue;
mod reader;
mod schema_bytes;
