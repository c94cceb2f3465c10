//! What travels over the device's configuration space and queues, as
//! `guest-driver/vtrace_abi.h` has it. `tests/wire.rs` compares both, field by
//! field. The memory of a ring is `ringbuf::layout`'s.

use vm_memory::ByteValued;

/// `VTRACE_CONFIG_MAGIC`, "VTRC": what a driver checks before anything else.
pub const CONFIG_MAGIC: u32 = 0x4352_5456;
/// `VTRACE_VERSION`: of everything here.
pub const VERSION: u32 = 1;
/// `VTRACE_MAX_CHANNELS`: entries of [`Config::channel`].
pub const MAX_CHANNELS: usize = 4;

/// `VTRACE_MODE_DISCARD`: a full ring loses new events.
pub const MODE_DISCARD: u32 = 0;
/// `VTRACE_MODE_OVERWRITE`: a full ring loses old events.
pub const MODE_OVERWRITE: u32 = 1;

/// `VTRACE_CHANNEL_EVENTS`: the channel of events.
pub const CHANNEL_EVENTS: u32 = 0;
/// `VTRACE_CHANNEL_STATE`: the channel of the process state dump.
pub const CHANNEL_STATE: u32 = 1;

/// `VTRACE_F_HOST_CLOCK`: bit of the feature "the device writes the clock page".
pub const F_HOST_CLOCK: u32 = 0;
/// `VTRACE_F_FILTER`: bit of the feature "there is [`cmd::FILTER`]".
pub const F_FILTER: u32 = 1;
/// `VTRACE_F_MODULE`: bit of the feature "uploads, modules, [`req::POLICY`]".
pub const F_MODULE: u32 = 2;
/// `VTRACE_F_PROBE`: bit of the feature "there is [`cmd::PROBE_ADD`]".
pub const F_PROBE: u32 = 3;
/// `VTRACE_F_WATCH`: bit of the feature "filters may end with [`NOTIFY`]".
pub const F_WATCH: u32 = 4;

/// Ids from here on are of classes that other modules have registered with the
/// guest's driver: what a filter could look at is not known there.
pub const FIRST_CLASS: u16 = 0x8000;

/// `VTRACE_VQ_CONTROL`: requests of the driver.
pub const VQ_CONTROL: u16 = 0;
/// `VTRACE_VQ_EVENT`: commands of the device.
pub const VQ_EVENT: u16 = 1;
/// `VTRACE_VQ_DOORBELL`: kicked by a ring's writer; never has a buffer.
pub const VQ_DOORBELL: u16 = 2;
/// `VTRACE_NUM_VQS`: how many queues the device has.
pub const NUM_VQS: usize = 3;

/// `VTRACE_ROOT_MAGIC`, "VRTVROOT": the root page's.
pub const ROOT_MAGIC: u64 = 0x544f_4f52_5654_5256;
/// Bytes of a guest's page, and what all shared memory is aligned to.
pub const PAGE: u64 = 4096;

/// `VTRACE_ARCH_X86_64`: the one architecture there is a driver for.
pub const ARCH_X86_64: u32 = 1;
/// `VTRACE_MAX_REASON`: bytes of text in a `DONE` request.
pub const MAX_REASON: usize = 512;
/// `VTRACE_CMD_BYTES`: what each buffer of the event queue has room for.
pub const CMD_BYTES: usize = 4096;

/// Types of requests, `VTRACE_REQ_*`.
pub mod req {
    /// A driver starts: [`super::Hello`]. Answered with a new epoch.
    pub const HELLO: u32 = 1;
    /// One exchange of clocks: [`super::ClockSample`].
    pub const CLOCK_SAMPLE: u32 = 2;
    /// Where the root page is: [`super::Addr`].
    pub const ROOT: u32 = 3;
    /// Schema records.
    pub const SCHEMA: u32 = 4;
    /// Register a ring: [`super::RingRef`].
    pub const RING_ADD: u32 = 5;
    /// Take a ring back: [`super::RingRef`].
    pub const RING_DEL: u32 = 6;
    /// The driver's rings live on in a new epoch: [`super::Epoch`].
    pub const EPOCH_ACK: u32 = 7;
    /// A command's result: [`super::Done`] and text.
    pub const DONE: u32 = 8;
    /// The driver goes; no payload.
    pub const BYE: u32 = 9;
    /// What the driver allows its device: [`super::Policy`].
    pub const POLICY: u32 = 10;
}

/// Commands of the device, `VTRACE_CMD_*`.
pub mod cmd {
    /// Acknowledge a new epoch: [`super::Epoch`].
    pub const EPOCH: u32 = 1;
    /// Enable the events whose `u16` ids follow.
    pub const ENABLE: u32 = 2;
    /// Disable the events whose `u16` ids follow.
    pub const DISABLE: u32 = 3;
    /// Dump the state of all processes into the state channel.
    pub const STATEDUMP: u32 = 4;
    /// Send the whole schema again.
    pub const SCHEMA: u32 = 5;
    /// Enable events with a filter: [`super::Filter`], terms, patterns, ids.
    pub const FILTER: u32 = 6;
    /// A piece of a file: [`super::Upload`] and bytes.
    pub const UPLOAD: u32 = 7;
    /// Give an upload up: [`super::Blob`].
    pub const UPLOAD_CANCEL: u32 = 8;
    /// Load a module: [`super::Blob`] and its parameters.
    pub const MODULE_LOAD: u32 = 9;
    /// Unload the module whose name follows.
    pub const MODULE_UNLOAD: u32 = 10;
    /// List modules: [`super::ModuleList`].
    pub const MODULE_LIST: u32 = 14;
    /// Add a probe definition: [`super::ProbeDef`] and what is behind it.
    pub const PROBE_ADD: u32 = 11;
    /// Delete the probe definition of the name that follows.
    pub const PROBE_DEL: u32 = 12;
    /// Say what the definition of the name that follows has counted.
    pub const PROBE_COUNTS: u32 = 15;
}

/// Probe definitions, `VTRACE_PROBE_*`, `VTRACE_FETCH_*`, `VTRACE_REGISTER_*`.
pub mod probe {
    /// A kprobe.
    pub const ENTRY: u8 = 1;
    /// A kretprobe.
    pub const RETURN: u8 = 2;
    /// A tracepoint.
    pub const TRACEPOINT: u8 = 3;

    /// A register.
    pub const REGISTER: u8 = 1;
    /// An argument of the function or the tracepoint, from 0.
    pub const ARGUMENT: u8 = 2;
    /// What the function returns.
    pub const RETVAL: u8 = 3;
    /// A word of the stack.
    pub const STACK: u8 = 4;
    /// The stack pointer.
    pub const SP: u8 = 5;
    /// The step's value.
    pub const IMMEDIATE: u8 = 6;
    /// The address of the argument's symbol, and the step's value.
    pub const SYMBOL: u8 = 7;
    /// The name of the running thread.
    pub const COMM: u8 = 8;
    /// What is in memory, so many bytes from the value before.
    pub const LOAD: u8 = 9;
    /// The same, in user space.
    pub const LOAD_USER: u8 = 10;
    /// Some bits of the value before.
    pub const BITS: u8 = 11;

    /// Registers, by number.
    pub const REGISTERS: [&str; 18] = [
        "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15", "ip", "flags",
    ];

    /// `VTRACE_MAX_PROBES`: definitions at a time.
    pub const MAX: usize = 64;
    /// `VTRACE_MAX_PROBE_NAME`: bytes of a name.
    pub const MAX_NAME: usize = 63;
    /// `VTRACE_MAX_PROBE_SYMBOL`: bytes of a symbol.
    pub const MAX_SYMBOL: usize = 200;
    /// `VTRACE_MAX_PROBE_ARGS`.
    pub const MAX_ARGS: usize = 32;
    /// `VTRACE_MAX_PROBE_STEPS`: of an argument.
    pub const MAX_STEPS: usize = 16;
    /// `VTRACE_MAX_PROBE_STACK`: return addresses.
    pub const MAX_STACK: u8 = 64;
    /// `VTRACE_MAX_PROBE_COUNT`: integers of an array.
    pub const MAX_COUNT: u16 = 64;
    /// `VTRACE_MAX_PROBE_STRING`: bytes of a text, its NUL included.
    pub const MAX_STRING: usize = 1024;
    /// `VTRACE_MAX_PROBE_BYTES`: of all fields.
    pub const MAX_BYTES: usize = 3072;
    /// `VTRACE_MAX_PROBE_RATE`: events in a second.
    pub const MAX_RATE: u32 = 1_000_000;
    /// `VTRACE_MAX_PROBE_ACTIVE`: calls whose return is awaited.
    pub const MAX_ACTIVE: u16 = 4096;
    /// `VTRACE_NUM_PROBE_ARGUMENTS`: of a function or tracepoint.
    pub const NUM_ARGUMENTS: u64 = 12;
}

/// Classes of commands that a driver may allow, `VTRACE_ALLOW_*`.
pub mod allow {
    /// The driver's own events.
    pub const NATIVE: u32 = 1;
    /// Probe definitions.
    pub const PROBES: u32 = 2;
    /// Uploads and modules.
    pub const MODULES: u32 = 4;
}

/// `VTRACE_MAX_UPLOAD`: bytes of a file.
pub const MAX_UPLOAD: u32 = 256 << 20;

/// What a term does, `VTRACE_OP_*`.
pub mod op {
    /// The number is the value.
    pub const EQUAL: u8 = 1;
    /// The number is less.
    pub const LESS: u8 = 2;
    /// The number is greater.
    pub const GREATER: u8 = 3;
    /// The number has any of the value's bits.
    pub const BITS: u8 = 4;
    /// The text matches the pattern.
    pub const MATCH: u8 = 5;
}

/// What a term looks at when it is no field, and what a channel's events may
/// have besides their fields, `VTRACE_CONTEXT_*`.
pub mod context {
    /// The running thread.
    pub const TID: u16 = 0x100;
    /// Its process.
    pub const PID: u16 = 0x101;
    /// The running thread, as its own pid namespace has it.
    pub const VTID: u16 = 0x102;
    /// Its process, as its own pid namespace has it.
    pub const VPID: u16 = 0x103;
    /// The name of the running thread.
    pub const PROCNAME: u16 = 0x104;
    /// The vCPU.
    pub const CPU: u16 = 0x105;
    /// Id of the running thread's cgroup in the default hierarchy.
    pub const CGROUP: u16 = 0x106;
    /// Time that the host has taken from the vCPU, in ns.
    pub const STEAL: u16 = 0x107;
    /// Whether the thread could be preempted.
    pub const PREEMPTIBLE: u16 = 0x108;
    /// Whether it is to give way.
    pub const NEED_RESCHEDULE: u16 = 0x109;
    /// Whether the vCPU could be interrupted.
    pub const INTERRUPTIBLE: u16 = 0x10a;
    /// Behind the last one that filters may look at.
    pub const FILTER_END: u16 = 0x10b;
    /// Cycles, as the vCPU's PMU counts them.
    pub const CYCLES: u16 = 0x10b;
    /// Instructions, by the same.
    pub const INSTRUCTIONS: u16 = 0x10c;
    /// Cache misses, by the same.
    pub const CACHE_MISSES: u16 = 0x10d;
    /// Page faults, as the kernel counts them.
    pub const PAGE_FAULTS: u16 = 0x10e;
    /// Context switches, by the same.
    pub const SWITCHES: u16 = 0x10f;
    /// Behind the last one.
    pub const END: u16 = 0x110;
}

/// `VTRACE_TERM_SIGNED`: numbers are compared as signed ones.
pub const TERM_SIGNED: u8 = 1;
/// `VTRACE_PASS`: the event is recorded.
pub const PASS: u8 = 0xff;
/// `VTRACE_DROP`: the event is not recorded.
pub const DROP: u8 = 0xfe;
/// `VTRACE_NOTIFY`: the event is recorded, and the doorbell rung.
pub const NOTIFY: u8 = 0xfd;
/// `VTRACE_NOTIFY_GAP`: how far apart a vCPU's notifications may be, in ns.
pub const NOTIFY_GAP: u64 = 1_000_000;
/// `VTRACE_MAX_TERMS`: of a filter.
pub const MAX_TERMS: usize = 32;
/// `VTRACE_MAX_PATTERNS`: bytes of a filter's patterns.
pub const MAX_PATTERNS: usize = 512;

/// What a response says, `VTRACE_S_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// Unknown type, or a wrong length.
    BadRequest = 1,
    /// Not in guest memory, or misaligned.
    BadAddress = 2,
    /// A field out of its bounds.
    BadValue = 3,
    /// Registered already, or overlapping what is.
    Exists = 4,
    /// No such ring, no such command.
    NoEntry = 5,
    /// More rings, events or bytes than allowed.
    Limit = 6,
    /// Of an epoch that has ended.
    Stale = 7,
    /// This device will not serve this guest.
    Refused = 8,
}

/// `struct vtrace_config_channel`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ConfigChannel {
    /// [`MODE_DISCARD`] or [`MODE_OVERWRITE`].
    pub mode: u32,
    /// Bytes of a sub-buffer.
    pub sub_size: u32,
    /// Sub-buffers of a ring.
    pub nsub: u32,
    /// Contexts that its events are to have, a bit each: that of [`context::TID`]
    /// is 0.
    pub contexts: u32,
}

/// `struct vtrace_config`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// [`CONFIG_MAGIC`].
    pub magic: u32,
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of one request, its header included.
    pub max_request: u32,
    /// How many of `channel` are used.
    pub num_channels: u32,
    /// Geometry of each channel's rings.
    pub channel: [ConfigChannel; MAX_CHANNELS],
}

/// `struct vtrace_req`: the head of each request.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Req {
    /// One of [`req`].
    pub kind: u32,
    /// Bytes of payload behind this head.
    pub len: u32,
}

/// `struct vtrace_resp`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Resp {
    /// A [`Status`].
    pub status: u32,
    /// Zero.
    pub reserved: u32,
    /// What the request asked for.
    pub value: u64,
}

/// `struct vtrace_hello`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Hello {
    /// The guest kernel's boot id.
    pub boot_id: [u8; 16],
    /// Frequency of the counter behind the trace clock.
    pub clock_hz: u64,
    /// CLOCK_REALTIME minus the trace clock, in ns.
    pub clock_offset: u64,
    /// Version of the driver.
    pub driver_version: u32,
    /// [`ARCH_X86_64`].
    pub arch: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// vCPUs that the guest may have.
    pub num_vcpus: u32,
    /// utsname's release, NUL-terminated.
    pub release: [u8; 64],
    /// utsname's version, NUL-terminated.
    pub version: [u8; 128],
    /// utsname's nodename, NUL-terminated.
    pub nodename: [u8; 64],
}

/// `struct vtrace_clock_sample`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockSample {
    /// The counter, read just before this request.
    pub before: u64,
    /// The counter, read just after the last reply.
    pub after_last: u64,
}

/// `struct vtrace_addr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Addr {
    /// A guest-physical address.
    pub gpa: u64,
}

/// `struct vtrace_ring_ref`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct RingRef {
    /// The driver's number of this ring.
    pub ring: u32,
    /// Zero.
    pub reserved: u32,
    /// Of the control area; 0 in `RING_DEL`.
    pub gpa: u64,
    /// The epoch this belongs to.
    pub epoch: u64,
}

/// `struct vtrace_epoch`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Epoch {
    /// The epoch.
    pub epoch: u64,
}

/// `struct vtrace_done`; text follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Of the command.
    pub seq: u32,
    /// 0, or a positive errno of the guest.
    pub error: u32,
}

/// `struct vtrace_policy`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Classes of commands: [`allow`].
    pub allow: u32,
    /// Zero.
    pub reserved: u32,
    /// Bytes that an upload may have.
    pub upload_limit: u64,
}

/// `struct vtrace_upload`: the head of a piece of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// The device's number of the file.
    pub blob: u32,
    /// Where in the file the piece belongs.
    pub offset: u32,
    /// Bytes of the file.
    pub total: u32,
    /// Zero.
    pub reserved: u32,
}

/// `struct vtrace_blob`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Blob {
    /// The device's number of a file.
    pub blob: u32,
    /// Zero.
    pub reserved: u32,
}

/// `struct vtrace_module_list`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ModuleList {
    /// Number of the first name that is wanted.
    pub first: u32,
    /// Zero.
    pub reserved: u32,
}

/// `struct vtrace_cmd`: the head of each command.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Cmd {
    /// One of [`cmd`].
    pub kind: u32,
    /// What `DONE` answers with.
    pub seq: u32,
    /// Bytes of payload behind this head.
    pub len: u32,
    /// Zero.
    pub reserved: u32,
}

/// `struct vtrace_filter`; terms, patterns and ids follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// 1 to [`MAX_TERMS`].
    pub num_terms: u16,
    /// At most [`MAX_PATTERNS`], and even.
    pub pattern_bytes: u16,
    /// Ids of events.
    pub num_ids: u16,
    /// Zero.
    pub reserved: u16,
}

/// `struct vtrace_term`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Term {
    /// A field's index, or one of [`context`].
    pub operand: u16,
    /// One of [`op`].
    pub op: u8,
    /// [`TERM_SIGNED`], or 0.
    pub flags: u8,
    /// The term to go on with if it holds; [`PASS`] or [`DROP`].
    pub yes: u8,
    /// The same, if it does not hold.
    pub no: u8,
    /// Zero.
    pub reserved: u16,
    /// What to compare with, or where the pattern begins.
    pub value: u64,
}

/// `struct vtrace_probe_def`; name, symbol, arguments and filter follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeDef {
    /// From the symbol, in bytes.
    pub offset: u64,
    /// Events in a second and of a vCPU; 0: any number.
    pub rate: u32,
    /// Calls whose return is awaited; 0: the kernel's choice.
    pub maxactive: u16,
    /// Bytes of the filter.
    pub filter_bytes: u16,
    /// [`probe::ENTRY`], [`probe::RETURN`] or [`probe::TRACEPOINT`].
    pub kind: u8,
    /// Return addresses.
    pub stack_depth: u8,
    /// At most [`probe::MAX_ARGS`].
    pub num_args: u8,
    /// Bytes of the name.
    pub name_len: u8,
    /// Bytes of the symbol.
    pub symbol_len: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// `struct vtrace_probe_arg`; name, symbol and steps follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeArg {
    /// Integers of an array, bytes of a text.
    pub count: u16,
    /// `VTRACE_FIELD_INT` or `VTRACE_FIELD_STRING`.
    pub kind: u8,
    /// Bytes of an integer.
    pub size: u8,
    /// `VTRACE_FIELD_SIGNED`, `_HEX`, `_ARRAY`.
    pub flags: u8,
    /// Bytes of the name.
    pub name_len: u8,
    /// Bytes of the symbol.
    pub symbol_len: u8,
    /// 1 to [`probe::MAX_STEPS`].
    pub num_steps: u8,
}

/// `struct vtrace_probe_step`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeStep {
    /// What `op` needs.
    pub value: u64,
    /// One of [`probe`].
    pub op: u8,
    /// Bytes that are loaded.
    pub size: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// `struct vtrace_root`: the driver's root page.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Root {
    /// [`ROOT_MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Entries of the ring table.
    pub num_rings: u32,
    /// The driver's epoch.
    pub epoch: u64,
    /// Boot id of the guest's kernel.
    pub boot_id: [u8; 16],
    /// Where the clock page is.
    pub clock_gpa: u64,
    /// Where the table of control areas is.
    pub ring_table_gpa: u64,
    /// Where the schema is.
    pub schema_gpa: u64,
    /// Bytes of the schema.
    pub schema_bytes: u64,
    /// Frequency of the counter behind the trace clock.
    pub clock_hz: u64,
    /// CLOCK_REALTIME minus the trace clock, ns.
    pub clock_offset: u64,
    /// Trace clock when the guest panicked, or 0.
    pub panic_stamp: u64,
    /// Events of vCPUs that have no ring.
    pub lost_no_ring: u64,
}

macro_rules! plain {
    ($($name:ident),*) => { $(
        // SAFETY: repr(C) of integers and byte arrays only, without padding:
        // any bytes are a valid value, and all its bytes are initialised.
        unsafe impl ByteValued for $name {}
    )* };
}
plain!(
    ConfigChannel,
    Config,
    Req,
    Resp,
    Hello,
    ClockSample,
    Addr,
    RingRef,
    Epoch,
    Done,
    Policy,
    Upload,
    Blob,
    ModuleList,
    Cmd,
    Filter,
    Term,
    ProbeDef,
    ProbeArg,
    ProbeStep,
    Root
);

/// Read a structure from the start of `bytes`; `None` if they are too few.
pub fn parse<T: ByteValued>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..size_of::<T>())?;
    // SAFETY: ByteValued says that any bytes are a valid T; the length was
    // checked, and read_unaligned asks for no alignment.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}
