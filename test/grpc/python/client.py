# A gRPC client of python3-grpcio for test/grpc/python.test.ts: ADDRESS [AUTHORITY.pem], makes calls of every kind and prints what came of
# them as JSON.
import json
import queue
import sys

import grpc

address, *authority = sys.argv[1:]
options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]
if authority:
    with open(authority[0], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    named = [("grpc.ssl_target_name_override", "localhost")]
    channel = grpc.secure_channel(address, credentials, options + named)
else:
    channel = grpc.insecure_channel(address, options)


def outcome(call):
    """Code, details and metadata at the end of a call that may fail."""
    code, details = call.code().name, call.details()
    return {"code": code, "details": details, "trailers": text(call.trailing_metadata())}


def text(metadata):
    return [[k, list(v) if isinstance(v, bytes) else v] for k, v in metadata or () if k.startswith("x-")]


def unary():
    metadata = (("x-echo", "one"), ("x-echo", "two"), ("x-echo-bin", b"\x01\0\xc8"))
    reply, call = echo("Unary").with_call(b"hi", metadata=metadata)
    return {"reply": reply.decode(), "head": text(call.initial_metadata()), **outcome(call)}


def large():
    message = bytes(range(256)) * (9 << 12)
    return echo("Unary")(message) == message


def compressed():
    return echo("Unary")(b"z" * 100_000, compression=grpc.Compression.Gzip) == b"z" * 100_000


def streams():
    counted = [int(part) for part in channel.unary_stream("/test.Echo/Count")(b"500")]
    total = channel.stream_unary("/test.Echo/Total")(bytes(10_000) for _ in range(200))
    return {"counted": counted == list(range(500)), "total": int(total)}


def chat():
    """Each message is sent when the answer to the one before has come."""
    waiting = queue.SimpleQueue()
    waiting.put(0)
    answered = []
    for answer in channel.stream_stream("/test.Echo/Chat")(messages_of(waiting)):
        answered.append(int(answer))
        waiting.put(len(answered) if len(answered) < 50 else None)
    return answered == list(range(50))


def messages_of(waiting):
    while (number := waiting.get()) is not None:
        yield str(number).encode()


def deadline():
    call = echo("Hang").future(b"", timeout=0.3)
    code = call.code().name
    return {"code": code, "heard": echo("Heard")(b"").decode()}


def cancelled():
    """The server has the first message of the call, and waits for the next one."""
    waiting = queue.SimpleQueue()
    waiting.put(1)
    call = channel.stream_stream("/test.Echo/Chat")(messages_of(waiting))
    first = next(call).decode()
    call.cancel()
    code = call.code().name
    waiting.put(None)
    return {"first": first, "code": code}


def at_once():
    calls = [echo("Unary").future(str(number).encode()) for number in range(200)]
    return [int(call.result()) for call in calls] == list(range(200))


def echo(name):
    return channel.unary_unary(f"/test.Echo/{name}")


def failed(path):
    call = channel.unary_unary(path).future(b"")
    call.exception()
    return outcome(call)


print(
    json.dumps(
        {
            "unary": unary(),
            "large": large(),
            "compressed": compressed(),
            "streams": streams(),
            "chat": chat(),
            "deadline": deadline(),
            "cancelled": cancelled(),
            "atOnce": at_once(),
            "failed": failed("/test.Echo/Fail"),
            "nobody": failed("/test.Nobody/Call"),
        }
    ),
    flush=True,
)
