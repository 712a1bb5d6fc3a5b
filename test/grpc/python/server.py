# A gRPC server of python3-grpcio for test/grpc/python.test.ts: [CERT KEY], over TLS with these. Prints its port, serves until its input ends.
import sys
import threading
from concurrent import futures

import grpc

cancelled = threading.Semaphore(0)


def unary(request, context):
    echoed = [(k, v) for k, v in context.invocation_metadata() if k.startswith("x-echo")]
    context.send_initial_metadata(echoed)
    context.set_trailing_metadata((("x-length", str(len(request))), ("x-bytes-bin", b"\0\xff\n\r")))
    return request


def count(request, _context):
    for number in range(int(request)):
        yield str(number).encode()


def total(requests, _context):
    return str(sum(len(request) for request in requests)).encode()


def chat(requests, _context):
    yield from requests


def hang(_request, context):
    over = threading.Event()
    context.add_callback(over.set)
    over.wait()
    cancelled.release()
    return b""


def heard(_request, _context):
    """Answers once another call has ended before its answer."""
    cancelled.acquire()
    return b"one"


def fail(_request, context):
    context.set_trailing_metadata((("x-detail", "here"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not yet: 100 % \u00e4")


handlers = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Total": grpc.stream_unary_rpc_method_handler(total),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Hang": grpc.unary_unary_rpc_method_handler(hang),
    "Heard": grpc.unary_unary_rpc_method_handler(heard),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
}

server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", -1)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
if len(sys.argv) > 1:
    with open(sys.argv[1], "rb") as certificate, open(sys.argv[2], "rb") as key:
        credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
else:
    port = server.add_insecure_port("127.0.0.1:0")
print(port, flush=True)
server.start()
sys.stdin.read()
server.stop(None)
