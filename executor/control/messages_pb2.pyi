from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EntryKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE: _ClassVar[EntryKind]
    FOLDER: _ClassVar[EntryKind]
    LINK: _ClassVar[EntryKind]
FILE: EntryKind
FOLDER: EntryKind
LINK: EntryKind

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Description(_message.Message):
    __slots__ = ("gateway", "role", "pid")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    role: str
    pid: int
    def __init__(self, gateway: _Optional[str] = ..., role: _Optional[str] = ..., pid: _Optional[int] = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("gateway", "address")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    address: str
    def __init__(self, gateway: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class Branch(_message.Message):
    __slots__ = ("hop", "next", "hop_bytes_per_s", "link_bytes_per_s", "public")
    HOP_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    HOP_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    LINK_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    hop: int
    next: Peer
    hop_bytes_per_s: float
    link_bytes_per_s: float
    public: bool
    def __init__(self, hop: _Optional[int] = ..., next: _Optional[_Union[Peer, _Mapping]] = ..., hop_bytes_per_s: _Optional[float] = ..., link_bytes_per_s: _Optional[float] = ..., public: _Optional[bool] = ...) -> None: ...

class Lane(_message.Message):
    __slots__ = ("index", "hop", "previous", "branches", "connections", "pace_bytes_per_s", "incoming_bytes_per_s", "planned_gbps", "planned_bytes_per_s", "more_window")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    PACE_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    INCOMING_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    PLANNED_GBPS_FIELD_NUMBER: _ClassVar[int]
    PLANNED_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    MORE_WINDOW_FIELD_NUMBER: _ClassVar[int]
    index: int
    hop: int
    previous: Peer
    branches: _containers.RepeatedCompositeFieldContainer[Branch]
    connections: int
    pace_bytes_per_s: float
    incoming_bytes_per_s: float
    planned_gbps: float
    planned_bytes_per_s: float
    more_window: int
    def __init__(self, index: _Optional[int] = ..., hop: _Optional[int] = ..., previous: _Optional[_Union[Peer, _Mapping]] = ..., branches: _Optional[_Iterable[_Union[Branch, _Mapping]]] = ..., connections: _Optional[int] = ..., pace_bytes_per_s: _Optional[float] = ..., incoming_bytes_per_s: _Optional[float] = ..., planned_gbps: _Optional[float] = ..., planned_bytes_per_s: _Optional[float] = ..., more_window: _Optional[int] = ...) -> None: ...

class Lanes(_message.Message):
    __slots__ = ("lanes",)
    LANES_FIELD_NUMBER: _ClassVar[int]
    lanes: _containers.RepeatedCompositeFieldContainer[Lane]
    def __init__(self, lanes: _Optional[_Iterable[_Union[Lane, _Mapping]]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("egress_bytes_per_s", "egress_public_bytes_per_s", "ingress_bytes_per_s")
    EGRESS_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    EGRESS_PUBLIC_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    INGRESS_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    egress_bytes_per_s: float
    egress_public_bytes_per_s: float
    ingress_bytes_per_s: float
    def __init__(self, egress_bytes_per_s: _Optional[float] = ..., egress_public_bytes_per_s: _Optional[float] = ..., ingress_bytes_per_s: _Optional[float] = ...) -> None: ...

class SessionGrant(_message.Message):
    __slots__ = ("transfer", "session", "epoch", "expiry", "rights", "first_byte", "last_byte")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    FIRST_BYTE_FIELD_NUMBER: _ClassVar[int]
    LAST_BYTE_FIELD_NUMBER: _ClassVar[int]
    transfer: bytes
    session: bytes
    epoch: int
    expiry: int
    rights: int
    first_byte: int
    last_byte: int
    def __init__(self, transfer: _Optional[bytes] = ..., session: _Optional[bytes] = ..., epoch: _Optional[int] = ..., expiry: _Optional[int] = ..., rights: _Optional[int] = ..., first_byte: _Optional[int] = ..., last_byte: _Optional[int] = ...) -> None: ...

class EndKeys(_message.Message):
    __slots__ = ("data_key", "site_key")
    DATA_KEY_FIELD_NUMBER: _ClassVar[int]
    SITE_KEY_FIELD_NUMBER: _ClassVar[int]
    data_key: bytes
    site_key: bytes
    def __init__(self, data_key: _Optional[bytes] = ..., site_key: _Optional[bytes] = ...) -> None: ...

class Configuration(_message.Message):
    __slots__ = ("transfer", "lanes", "limits", "session", "keys", "chunk_bytes", "record_bytes", "root_path", "head", "head_address", "all_lanes", "attempt", "dispatch", "final_path", "control_port", "data_port", "congestion", "end", "ends", "sample_s", "spill_bytes", "replans", "copies")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECORD_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROOT_PATH_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    HEAD_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ALL_LANES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DISPATCH_FIELD_NUMBER: _ClassVar[int]
    FINAL_PATH_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PORT_FIELD_NUMBER: _ClassVar[int]
    DATA_PORT_FIELD_NUMBER: _ClassVar[int]
    CONGESTION_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_S_FIELD_NUMBER: _ClassVar[int]
    SPILL_BYTES_FIELD_NUMBER: _ClassVar[int]
    REPLANS_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    transfer: bytes
    lanes: _containers.RepeatedCompositeFieldContainer[Lane]
    limits: Limits
    session: SessionGrant
    keys: EndKeys
    chunk_bytes: int
    record_bytes: int
    root_path: bytes
    head: str
    head_address: str
    all_lanes: _containers.RepeatedCompositeFieldContainer[Lane]
    attempt: int
    dispatch: str
    final_path: bytes
    control_port: int
    data_port: int
    congestion: str
    end: int
    ends: int
    sample_s: float
    spill_bytes: int
    replans: bool
    copies: bool
    def __init__(self, transfer: _Optional[bytes] = ..., lanes: _Optional[_Iterable[_Union[Lane, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., session: _Optional[_Union[SessionGrant, _Mapping]] = ..., keys: _Optional[_Union[EndKeys, _Mapping]] = ..., chunk_bytes: _Optional[int] = ..., record_bytes: _Optional[int] = ..., root_path: _Optional[bytes] = ..., head: _Optional[str] = ..., head_address: _Optional[str] = ..., all_lanes: _Optional[_Iterable[_Union[Lane, _Mapping]]] = ..., attempt: _Optional[int] = ..., dispatch: _Optional[str] = ..., final_path: _Optional[bytes] = ..., control_port: _Optional[int] = ..., data_port: _Optional[int] = ..., congestion: _Optional[str] = ..., end: _Optional[int] = ..., ends: _Optional[int] = ..., sample_s: _Optional[float] = ..., spill_bytes: _Optional[int] = ..., replans: _Optional[bool] = ..., copies: _Optional[bool] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("index", "path", "kind", "size", "mode", "mtime_ns", "target")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MTIME_NS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    index: int
    path: bytes
    kind: EntryKind
    size: int
    mode: int
    mtime_ns: int
    target: bytes
    def __init__(self, index: _Optional[int] = ..., path: _Optional[bytes] = ..., kind: _Optional[_Union[EntryKind, str]] = ..., size: _Optional[int] = ..., mode: _Optional[int] = ..., mtime_ns: _Optional[int] = ..., target: _Optional[bytes] = ...) -> None: ...

class Listing(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class Permission(_message.Message):
    __slots__ = ("peers",)
    PEERS_FIELD_NUMBER: _ClassVar[int]
    peers: _containers.RepeatedCompositeFieldContainer[Peer]
    def __init__(self, peers: _Optional[_Iterable[_Union[Peer, _Mapping]]] = ...) -> None: ...

class Refusals(_message.Message):
    __slots__ = ("refused",)
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    refused: int
    def __init__(self, refused: _Optional[int] = ...) -> None: ...

class AdmitRequest(_message.Message):
    __slots__ = ("lane", "count")
    LANE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    lane: int
    count: int
    def __init__(self, lane: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class Ticket(_message.Message):
    __slots__ = ("id", "key")
    ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    key: bytes
    def __init__(self, id: _Optional[bytes] = ..., key: _Optional[bytes] = ...) -> None: ...

class Tickets(_message.Message):
    __slots__ = ("tickets",)
    TICKETS_FIELD_NUMBER: _ClassVar[int]
    tickets: _containers.RepeatedCompositeFieldContainer[Ticket]
    def __init__(self, tickets: _Optional[_Iterable[_Union[Ticket, _Mapping]]] = ...) -> None: ...

class ChunkPlace(_message.Message):
    __slots__ = ("object", "chunk", "end")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    object: int
    chunk: int
    end: int
    def __init__(self, object: _Optional[int] = ..., chunk: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class ChunkRequest(_message.Message):
    __slots__ = ("lane", "take", "acknowledged", "lost", "lane_lost", "why")
    LANE_FIELD_NUMBER: _ClassVar[int]
    TAKE_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    LANE_LOST_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    lane: int
    take: bool
    acknowledged: _containers.RepeatedCompositeFieldContainer[ChunkPlace]
    lost: _containers.RepeatedCompositeFieldContainer[ChunkPlace]
    lane_lost: bool
    why: str
    def __init__(self, lane: _Optional[int] = ..., take: _Optional[bool] = ..., acknowledged: _Optional[_Iterable[_Union[ChunkPlace, _Mapping]]] = ..., lost: _Optional[_Iterable[_Union[ChunkPlace, _Mapping]]] = ..., lane_lost: _Optional[bool] = ..., why: _Optional[str] = ...) -> None: ...

class ChunkGrant(_message.Message):
    __slots__ = ("object", "chunk", "over", "again", "done")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    object: int
    chunk: int
    over: bool
    again: bool
    done: _containers.RepeatedCompositeFieldContainer[ChunkPlace]
    def __init__(self, object: _Optional[int] = ..., chunk: _Optional[int] = ..., over: _Optional[bool] = ..., again: _Optional[bool] = ..., done: _Optional[_Iterable[_Union[ChunkPlace, _Mapping]]] = ...) -> None: ...

class EventRow(_message.Message):
    __slots__ = ("event", "at_ns", "object", "chunk", "path", "hop", "src", "dst", "connection", "bytes", "detail")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    AT_NS_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    SRC_FIELD_NUMBER: _ClassVar[int]
    DST_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    event: str
    at_ns: int
    object: int
    chunk: int
    path: int
    hop: int
    src: str
    dst: str
    connection: int
    bytes: int
    detail: str
    def __init__(self, event: _Optional[str] = ..., at_ns: _Optional[int] = ..., object: _Optional[int] = ..., chunk: _Optional[int] = ..., path: _Optional[int] = ..., hop: _Optional[int] = ..., src: _Optional[str] = ..., dst: _Optional[str] = ..., connection: _Optional[int] = ..., bytes: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ("rows", "done", "failure", "failed_at_ns")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    FAILED_AT_NS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[EventRow]
    done: bool
    failure: str
    failed_at_ns: int
    def __init__(self, rows: _Optional[_Iterable[_Union[EventRow, _Mapping]]] = ..., done: _Optional[bool] = ..., failure: _Optional[str] = ..., failed_at_ns: _Optional[int] = ...) -> None: ...

class ChunkDigest(_message.Message):
    __slots__ = ("object", "chunk", "digest")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    object: int
    chunk: int
    digest: bytes
    def __init__(self, object: _Optional[int] = ..., chunk: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class ChunkDigests(_message.Message):
    __slots__ = ("digests",)
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    digests: _containers.RepeatedCompositeFieldContainer[ChunkDigest]
    def __init__(self, digests: _Optional[_Iterable[_Union[ChunkDigest, _Mapping]]] = ...) -> None: ...

class ChunkRange(_message.Message):
    __slots__ = ("object", "first", "end")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    object: int
    first: int
    end: int
    def __init__(self, object: _Optional[int] = ..., first: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class ChunkRanges(_message.Message):
    __slots__ = ("ranges",)
    RANGES_FIELD_NUMBER: _ClassVar[int]
    ranges: _containers.RepeatedCompositeFieldContainer[ChunkRange]
    def __init__(self, ranges: _Optional[_Iterable[_Union[ChunkRange, _Mapping]]] = ...) -> None: ...

class Root(_message.Message):
    __slots__ = ("object", "digest")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    object: int
    digest: bytes
    def __init__(self, object: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class Roots(_message.Message):
    __slots__ = ("roots",)
    ROOTS_FIELD_NUMBER: _ClassVar[int]
    roots: _containers.RepeatedCompositeFieldContainer[Root]
    def __init__(self, roots: _Optional[_Iterable[_Union[Root, _Mapping]]] = ...) -> None: ...
