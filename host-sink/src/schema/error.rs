//! Why a guest's schema was refused.

use thiserror::Error;

/// A schema record that makes no sense. Guest text in it is escaped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// A record that does not fit what was sent.
    #[error("schema record at byte {offset}: it says {bytes} bytes, {left} are left")]
    Length {
        /// Where the record begins.
        offset: usize,
        /// Bytes that it says it has.
        bytes: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// More of something than one guest may have.
    #[error("event id {id}: {what} would be {value}, the limit is {limit}")]
    Limit {
        /// Id of the event that went beyond.
        id: u16,
        /// What there is too much of.
        what: &'static str,
        /// How much it would be.
        value: usize,
        /// How much is allowed.
        limit: usize,
    },
    /// An event whose own description is wrong.
    #[error("event id {id}: {what} {value}")]
    Event {
        /// Its id.
        id: u16,
        /// What is wrong.
        what: &'static str,
        /// The value that is.
        value: String,
    },
    /// An id that stands for another event already.
    #[error("event id {id}: {new} has another definition than {old}, which has this id")]
    Redefined {
        /// The id.
        id: u16,
        /// Name of the event that keeps it.
        old: String,
        /// Name of the event that wanted it.
        new: String,
    },
    /// Contexts of a channel that has streams already.
    #[error("the contexts of channel {channel} come after its first ring: send them before")]
    Late {
        /// The channel.
        channel: u32,
    },
    /// A field that is wrong.
    #[error("event {event} (id {id}), field {field}: {what} {value}")]
    Field {
        /// Id of the event.
        id: u16,
        /// Name of the event.
        event: String,
        /// Name of the field, or its number within its structure as `#N`
        /// where its name is not known or the reason.
        field: String,
        /// What is wrong.
        what: &'static str,
        /// The value that is.
        value: String,
    },
}
