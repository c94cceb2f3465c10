//! The host's evaluator: an event as the decoder makes it.

use host_sink::schema::{Base, EventClass, FieldKind, IntType};
use host_sink::value::{Event, Fields, Integer, Value};
use vhost_trace::context::CONTEXTS;
use vhost_trace::wire::context;

use crate::driver::Values;

/// The first context, in the order of `Values`.
const FIRST: usize = 4;

/// Use an event of these values, and its vCPU.
pub fn with_event<T>(
    class: &EventClass,
    values: &Values,
    use_it: impl FnOnce(u32, &Event<'_>) -> T,
) -> T {
    let texts = [&[][..], &[], &values.comm, &values.path];
    let fields = class.fields.iter().zip(values.numbers).zip(texts);
    let fields = fields.map(|((field, bits), text)| {
        let value = match &field.kind {
            FieldKind::Int(int) => Value::Int(Integer { bits, int: *int }),
            _ => Value::Text(text),
        };
        (field.name.as_str(), value)
    });
    let contexts = CONTEXTS
        .iter()
        .filter(|context| context.is_for_filters() && context.is_for_events());
    let contexts = contexts.map(|context| {
        let number = values.numbers[FIRST + usize::from(context.code - context::TID)];
        let value = match context.is_text() {
            true => Value::Text(&values.procname),
            false => Value::Int(Integer {
                bits: number,
                int: INT,
            }),
        };
        (context.name, value)
    });
    let event = Event {
        class,
        stamp: 0,
        contexts: Fields(contexts.collect()),
        fields: Fields(fields.collect()),
    };
    let vcpu = values.numbers[FIRST + usize::from(context::CPU - context::TID)];
    use_it(vcpu as u32, &event)
}

const INT: IntType = IntType {
    size: 8,
    signed: false,
    big_endian: false,
    base: Base::Decimal,
};
