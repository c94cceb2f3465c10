//! Schema records as a driver sends them.

use vhost_trace_host_sink::schema::abi;

/// An event record.
pub fn event(id: u16, channel: u16, name: &str, fields: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(id.to_le_bytes());
    body.extend(channel.to_le_bytes());
    body.push(fields.len() as u8);
    body.push(name.len() as u8);
    body.extend(name.as_bytes());
    body.extend(fields.concat());
    let mut record = ((body.len() + 2) as u16).to_le_bytes().to_vec();
    record.extend(body);
    record
}

/// A field; `more` is what its kind adds.
pub fn field(kind: u8, size: u8, flags: u8, count: u16, name: &str, more: &[u8]) -> Vec<u8> {
    let mut field = vec![kind, size, flags, name.len() as u8];
    field.extend(count.to_le_bytes());
    field.extend(name.as_bytes());
    field.extend(more);
    field
}

/// An integer.
pub fn int(name: &str, size: u8, flags: u8) -> Vec<u8> {
    field(abi::FIELD_INT, size, flags, 0, name, &[])
}

/// A fixed number of integers.
pub fn array(name: &str, size: u8, flags: u8, count: u16) -> Vec<u8> {
    field(
        abi::FIELD_INT,
        size,
        flags | abi::FIELD_ARRAY,
        count,
        name,
        &[],
    )
}

/// As many integers as the field before says.
pub fn seq(name: &str, size: u8, flags: u8) -> Vec<u8> {
    field(abi::FIELD_INT, size, flags | abi::FIELD_SEQ, 0, name, &[])
}

/// A string that ends with a NUL.
pub fn string(name: &str) -> Vec<u8> {
    field(abi::FIELD_STRING, 0, 0, 0, name, &[])
}

/// Text of a fixed length.
pub fn text(name: &str, count: u16) -> Vec<u8> {
    field(abi::FIELD_TEXT, 0, 0, count, name, &[])
}

/// A structure, or with `FIELD_SEQ` in `flags` a sequence of them.
pub fn structure(name: &str, flags: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    field(
        abi::FIELD_STRUCT,
        0,
        flags,
        fields.len() as u16,
        name,
        &fields.concat(),
    )
}

/// An integer with names for values.
pub fn enumeration(name: &str, size: u8, flags: u8, labels: &[(i64, i64, &[u8])]) -> Vec<u8> {
    let mut more = Vec::new();
    for (first, last, label) in labels {
        more.extend(first.to_le_bytes());
        more.extend(last.to_le_bytes());
        more.push(label.len() as u8);
        more.extend(*label);
    }
    field(
        abi::FIELD_ENUM,
        size,
        flags,
        labels.len() as u16,
        name,
        &more,
    )
}
