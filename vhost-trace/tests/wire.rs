//! The C header and `vhost_trace::wire` say the same.

use std::collections::BTreeMap;
use std::mem::offset_of;
use std::process::Command;

use vhost_trace::wire;

/// What a C program prints about the header: one `expression value` a line.
fn header_says(expressions: &[String]) -> BTreeMap<String, u64> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("abi.c");
    let program = folder.path().join("abi");
    let mut code = String::from(
        "#include <stddef.h>\n#include <stdio.h>\n#include \"vtrace_abi.h\"\nint main(void) {\n",
    );
    for expression in expressions {
        code.push_str(&format!(
            "printf(\"%s\\t%llu\\n\", \"{expression}\", (unsigned long long)({expression}));\n"
        ));
    }
    code.push_str("return 0; }\n");
    std::fs::write(&source, code).expect("write the C program");
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let compiled = Command::new(cc)
        .arg("-I")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-driver"))
        .arg("-o")
        .arg(&program)
        .arg(&source)
        .status()
        .expect("a C compiler");
    assert!(compiled.success(), "the C program does not compile");
    let output = Command::new(&program).output().expect("run the C program");
    String::from_utf8(output.stdout)
        .expect("ASCII")
        .lines()
        .map(|line| {
            let (expression, value) = line.split_once('\t').expect("expression, tab, value");
            (expression.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

/// The number of a register.
fn register(name: &str) -> usize {
    let registers = wire::probe::REGISTERS.iter();
    let mut found = registers.enumerate().filter(|(_, known)| **known == name);
    found.next().expect("a register").0
}

#[test]
fn wire_is_the_c_header() {
    let mut expected: Vec<(String, u64)> = Vec::new();
    macro_rules! layout {
        ($c:literal, $rust:ty, $($field:ident $(= $c_field:literal)?),*) => {
            expected.push((format!("sizeof(struct {})", $c), size_of::<$rust>() as u64));
            $(
                #[allow(unused_mut, unused_assignments)]
                let mut field = stringify!($field);
                $( field = $c_field; )?
                expected.push((
                    format!("offsetof(struct {}, {})", $c, field),
                    offset_of!($rust, $field) as u64,
                ));
            )*
        };
    }
    layout!(
        "vtrace_config_channel",
        wire::ConfigChannel,
        mode,
        sub_size,
        nsub,
        contexts
    );
    layout!(
        "vtrace_config",
        wire::Config,
        magic,
        version,
        max_request,
        num_channels,
        channel
    );
    layout!("vtrace_req", wire::Req, kind = "type", len);
    layout!("vtrace_resp", wire::Resp, status, reserved, value);
    layout!(
        "vtrace_hello",
        wire::Hello,
        boot_id,
        clock_hz,
        clock_offset,
        driver_version,
        arch,
        page_size,
        num_vcpus,
        release,
        version,
        nodename
    );
    layout!("vtrace_clock_sample", wire::ClockSample, before, after_last);
    layout!("vtrace_addr", wire::Addr, gpa);
    layout!("vtrace_ring_ref", wire::RingRef, ring, reserved, gpa, epoch);
    layout!("vtrace_epoch", wire::Epoch, epoch);
    layout!("vtrace_done", wire::Done, seq, error);
    layout!("vtrace_cmd", wire::Cmd, kind = "type", seq, len, reserved);
    layout!("vtrace_policy", wire::Policy, allow, reserved, upload_limit);
    layout!("vtrace_upload", wire::Upload, blob, offset, total, reserved);
    layout!("vtrace_blob", wire::Blob, blob, reserved);
    layout!("vtrace_module_list", wire::ModuleList, first, reserved);
    layout!(
        "vtrace_filter",
        wire::Filter,
        num_terms,
        pattern_bytes,
        num_ids,
        reserved
    );
    layout!(
        "vtrace_term",
        wire::Term,
        operand,
        op,
        flags,
        yes,
        no,
        reserved,
        value
    );

    layout!(
        "vtrace_probe_def",
        wire::ProbeDef,
        offset,
        rate,
        maxactive,
        filter_bytes,
        kind,
        stack_depth,
        num_args,
        name_len,
        symbol_len,
        reserved
    );
    layout!(
        "vtrace_probe_arg",
        wire::ProbeArg,
        count,
        kind = "type",
        size,
        flags,
        name_len,
        symbol_len,
        num_steps
    );
    layout!(
        "vtrace_probe_step",
        wire::ProbeStep,
        value,
        op,
        size,
        reserved
    );

    layout!(
        "vtrace_root",
        wire::Root,
        magic,
        version,
        num_rings,
        epoch,
        boot_id,
        clock_gpa,
        ring_table_gpa,
        schema_gpa,
        schema_bytes,
        clock_hz,
        clock_offset,
        panic_stamp,
        lost_no_ring
    );

    macro_rules! constants {
        ($($c:literal = $rust:expr),* $(,)?) => {
            $( expected.push(($c.to_owned(), $rust as u64)); )*
        };
    }
    constants!(
        "VTRACE_CONFIG_MAGIC" = wire::CONFIG_MAGIC,
        "VTRACE_VERSION" = wire::VERSION,
        "VTRACE_MAX_CHANNELS" = wire::MAX_CHANNELS,
        "VTRACE_MODE_DISCARD" = wire::MODE_DISCARD,
        "VTRACE_MODE_OVERWRITE" = wire::MODE_OVERWRITE,
        "VTRACE_CHANNEL_EVENTS" = wire::CHANNEL_EVENTS,
        "VTRACE_CHANNEL_STATE" = wire::CHANNEL_STATE,
        "VTRACE_F_HOST_CLOCK" = wire::F_HOST_CLOCK,
        "VTRACE_F_FILTER" = wire::F_FILTER,
        "VTRACE_F_MODULE" = wire::F_MODULE,
        "VTRACE_REQ_POLICY" = wire::req::POLICY,
        "VTRACE_ALLOW_NATIVE" = wire::allow::NATIVE,
        "VTRACE_ALLOW_PROBES" = wire::allow::PROBES,
        "VTRACE_ALLOW_MODULES" = wire::allow::MODULES,
        "VTRACE_MAX_UPLOAD" = wire::MAX_UPLOAD,
        "VTRACE_CMD_UPLOAD" = wire::cmd::UPLOAD,
        "VTRACE_CMD_UPLOAD_CANCEL" = wire::cmd::UPLOAD_CANCEL,
        "VTRACE_CMD_MODULE_LOAD" = wire::cmd::MODULE_LOAD,
        "VTRACE_CMD_MODULE_UNLOAD" = wire::cmd::MODULE_UNLOAD,
        "VTRACE_CMD_MODULE_LIST" = wire::cmd::MODULE_LIST,
        "VTRACE_F_WATCH" = wire::F_WATCH,
        "VTRACE_CMD_FILTER" = wire::cmd::FILTER,
        "VTRACE_F_PROBE" = wire::F_PROBE,
        "VTRACE_CMD_PROBE_ADD" = wire::cmd::PROBE_ADD,
        "VTRACE_CMD_PROBE_DEL" = wire::cmd::PROBE_DEL,
        "VTRACE_CMD_PROBE_COUNTS" = wire::cmd::PROBE_COUNTS,
        "VTRACE_PROBE_ENTRY" = wire::probe::ENTRY,
        "VTRACE_PROBE_RETURN" = wire::probe::RETURN,
        "VTRACE_PROBE_TRACEPOINT" = wire::probe::TRACEPOINT,
        "VTRACE_FETCH_REGISTER" = wire::probe::REGISTER,
        "VTRACE_FETCH_ARGUMENT" = wire::probe::ARGUMENT,
        "VTRACE_FETCH_RETVAL" = wire::probe::RETVAL,
        "VTRACE_FETCH_STACK" = wire::probe::STACK,
        "VTRACE_FETCH_SP" = wire::probe::SP,
        "VTRACE_FETCH_IMMEDIATE" = wire::probe::IMMEDIATE,
        "VTRACE_FETCH_SYMBOL" = wire::probe::SYMBOL,
        "VTRACE_FETCH_COMM" = wire::probe::COMM,
        "VTRACE_FETCH_LOAD" = wire::probe::LOAD,
        "VTRACE_FETCH_LOAD_USER" = wire::probe::LOAD_USER,
        "VTRACE_FETCH_BITS" = wire::probe::BITS,
        "VTRACE_REGISTER_AX" = register("ax"),
        "VTRACE_REGISTER_CX" = register("cx"),
        "VTRACE_REGISTER_DX" = register("dx"),
        "VTRACE_REGISTER_BX" = register("bx"),
        "VTRACE_REGISTER_SP" = register("sp"),
        "VTRACE_REGISTER_BP" = register("bp"),
        "VTRACE_REGISTER_SI" = register("si"),
        "VTRACE_REGISTER_DI" = register("di"),
        "VTRACE_REGISTER_R8" = register("r8"),
        "VTRACE_REGISTER_IP" = register("ip"),
        "VTRACE_REGISTER_FLAGS" = register("flags"),
        "VTRACE_REGISTER_END" = wire::probe::REGISTERS.len(),
        "VTRACE_MAX_PROBES" = wire::probe::MAX,
        "VTRACE_MAX_PROBE_NAME" = wire::probe::MAX_NAME,
        "VTRACE_MAX_PROBE_SYMBOL" = wire::probe::MAX_SYMBOL,
        "VTRACE_MAX_PROBE_ARGS" = wire::probe::MAX_ARGS,
        "VTRACE_MAX_PROBE_STEPS" = wire::probe::MAX_STEPS,
        "VTRACE_MAX_PROBE_STACK" = wire::probe::MAX_STACK,
        "VTRACE_MAX_PROBE_COUNT" = wire::probe::MAX_COUNT,
        "VTRACE_MAX_PROBE_STRING" = wire::probe::MAX_STRING,
        "VTRACE_MAX_PROBE_BYTES" = wire::probe::MAX_BYTES,
        "VTRACE_MAX_PROBE_RATE" = wire::probe::MAX_RATE,
        "VTRACE_MAX_PROBE_ACTIVE" = wire::probe::MAX_ACTIVE,
        "VTRACE_NUM_PROBE_ARGUMENTS" = wire::probe::NUM_ARGUMENTS,
        "VTRACE_OP_EQUAL" = wire::op::EQUAL,
        "VTRACE_OP_LESS" = wire::op::LESS,
        "VTRACE_OP_GREATER" = wire::op::GREATER,
        "VTRACE_OP_BITS" = wire::op::BITS,
        "VTRACE_OP_MATCH" = wire::op::MATCH,
        "VTRACE_TERM_SIGNED" = wire::TERM_SIGNED,
        "VTRACE_PASS" = wire::PASS,
        "VTRACE_DROP" = wire::DROP,
        "VTRACE_NOTIFY" = wire::NOTIFY,
        "VTRACE_NOTIFY_GAP" = wire::NOTIFY_GAP,
        "VTRACE_CONTEXT_TID" = wire::context::TID,
        "VTRACE_CONTEXT_PID" = wire::context::PID,
        "VTRACE_CONTEXT_VTID" = wire::context::VTID,
        "VTRACE_CONTEXT_VPID" = wire::context::VPID,
        "VTRACE_CONTEXT_PROCNAME" = wire::context::PROCNAME,
        "VTRACE_CONTEXT_CPU" = wire::context::CPU,
        "VTRACE_CONTEXT_CGROUP" = wire::context::CGROUP,
        "VTRACE_CONTEXT_STEAL" = wire::context::STEAL,
        "VTRACE_CONTEXT_PREEMPTIBLE" = wire::context::PREEMPTIBLE,
        "VTRACE_CONTEXT_NEED_RESCHEDULE" = wire::context::NEED_RESCHEDULE,
        "VTRACE_CONTEXT_INTERRUPTIBLE" = wire::context::INTERRUPTIBLE,
        "VTRACE_CONTEXT_FILTER_END" = wire::context::FILTER_END,
        "VTRACE_CONTEXT_CYCLES" = wire::context::CYCLES,
        "VTRACE_CONTEXT_INSTRUCTIONS" = wire::context::INSTRUCTIONS,
        "VTRACE_CONTEXT_CACHE_MISSES" = wire::context::CACHE_MISSES,
        "VTRACE_CONTEXT_PAGE_FAULTS" = wire::context::PAGE_FAULTS,
        "VTRACE_CONTEXT_SWITCHES" = wire::context::SWITCHES,
        "VTRACE_CONTEXT_END" = wire::context::END,
        "VTRACE_MAX_TERMS" = wire::MAX_TERMS,
        "VTRACE_MAX_PATTERNS" = wire::MAX_PATTERNS,
        "VTRACE_VQ_CONTROL" = wire::VQ_CONTROL,
        "VTRACE_VQ_EVENT" = wire::VQ_EVENT,
        "VTRACE_VQ_DOORBELL" = wire::VQ_DOORBELL,
        "VTRACE_NUM_VQS" = wire::NUM_VQS,
        "VTRACE_ROOT_MAGIC" = wire::ROOT_MAGIC,
        "VTRACE_PAGE" = wire::PAGE,
        "VTRACE_ARCH_X86_64" = wire::ARCH_X86_64,
        "VTRACE_MAX_REASON" = wire::MAX_REASON,
        "VTRACE_CMD_BYTES" = wire::CMD_BYTES,
        "VTRACE_REQ_HELLO" = wire::req::HELLO,
        "VTRACE_REQ_CLOCK_SAMPLE" = wire::req::CLOCK_SAMPLE,
        "VTRACE_REQ_ROOT" = wire::req::ROOT,
        "VTRACE_REQ_SCHEMA" = wire::req::SCHEMA,
        "VTRACE_REQ_RING_ADD" = wire::req::RING_ADD,
        "VTRACE_REQ_RING_DEL" = wire::req::RING_DEL,
        "VTRACE_REQ_EPOCH_ACK" = wire::req::EPOCH_ACK,
        "VTRACE_REQ_DONE" = wire::req::DONE,
        "VTRACE_REQ_BYE" = wire::req::BYE,
        "VTRACE_CMD_EPOCH" = wire::cmd::EPOCH,
        "VTRACE_CMD_ENABLE" = wire::cmd::ENABLE,
        "VTRACE_CMD_DISABLE" = wire::cmd::DISABLE,
        "VTRACE_CMD_STATEDUMP" = wire::cmd::STATEDUMP,
        "VTRACE_CMD_SCHEMA" = wire::cmd::SCHEMA,
        "VTRACE_S_OK" = wire::Status::Ok,
        "VTRACE_S_BAD_REQUEST" = wire::Status::BadRequest,
        "VTRACE_S_BAD_ADDRESS" = wire::Status::BadAddress,
        "VTRACE_S_BAD_VALUE" = wire::Status::BadValue,
        "VTRACE_S_EXISTS" = wire::Status::Exists,
        "VTRACE_S_NO_ENTRY" = wire::Status::NoEntry,
        "VTRACE_S_LIMIT" = wire::Status::Limit,
        "VTRACE_S_STALE" = wire::Status::Stale,
        "VTRACE_S_REFUSED" = wire::Status::Refused,
    );

    let expressions: Vec<String> = expected.iter().map(|(name, _)| name.clone()).collect();
    let header = header_says(&expressions);
    for (expression, value) in expected {
        assert_eq!(header[&expression], value, "{expression}");
    }
}
