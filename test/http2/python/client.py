# An HTTP/2 client on python3-h2's state machine for test/http2/reference.test.ts: ADDRESS SEED STREAMS [AUTHORITY.pem], over TLS with the
# authority's certificate. It does anything that a client may, in random order, while the machine holds the gateway's frames against the protocol; prints what came of its streams as JSON.
import hashlib
import json
import random
import select
import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

address, seed, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
authority = sys.argv[4] if len(sys.argv) > 4 else None
host, port = address.rsplit(":", 1)
chance = random.Random(seed)
codes = h2.settings.SettingCodes


class Stream:
    def __init__(self, size):
        self.left = size
        self.sent = hashlib.sha256()
        self.got = hashlib.sha256()
        self.status = None
        self.trailers = None
        self.ended = False
        self.reset = None
        self.unacknowledged = 0


class Client:
    def __init__(self):
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.machine = h2.connection.H2Connection(config)
        self.socket = self.connect()
        self.out = b""
        self.streams = {}
        self.opened = 0
        self.resets = 0
        self.unanswered = 2  # SETTINGS
        self.machine.initiate_connection()
        self.machine.update_settings({codes.ENABLE_PUSH: 0, **self.some_settings()})

    @staticmethod
    def connect():
        plain = socket.socket()
        # So little that the gateway finds it full again and again, but no less: of 4 KiB the kernel may offer a byte too few for what it sends
        # at once, and passes 2 KiB each time that its persist timer fires.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        plain.connect((host, int(port)))
        if authority is None:
            plain.setblocking(False)
            return plain
        context = ssl.create_default_context(cafile=authority)
        context.set_alpn_protocols(["h2"])
        secure = context.wrap_socket(plain, server_hostname="localhost")
        assert secure.selected_alpn_protocol() == "h2"
        secure.setblocking(False)
        return secure

    def some_settings(self):
        return {
            codes.INITIAL_WINDOW_SIZE: chance.choice([0, 1, 1000, 65535, 1 << 20]),
            codes.HEADER_TABLE_SIZE: chance.choice([0, 100, 4096, 65536]),
            codes.MAX_FRAME_SIZE: chance.choice([16384, 20000, 1 << 20]),
        }

    def run(self):
        while self.opened < wanted or any(not s.ended and not s.reset for s in self.streams.values()):
            for _ in range(chance.randrange(1, 8)):
                chance.choices(
                    [self.open, self.send, self.acknowledge, self.ask, self.cancel, self.change],
                    [20, 60, 40, 2, 1, 1],
                )[0]()
            self.exchange()
        self.machine.close_connection()
        self.socket.send(self.out + self.machine.data_to_send())
        self.socket.close()

    def live(self):
        return [(i, s) for i, s in self.streams.items() if s.reset is None and not s.ended]

    def open(self):
        room = self.machine.remote_settings.max_concurrent_streams
        if self.opened >= wanted or self.machine.open_outbound_streams >= min(room, 20):
            return
        number = self.machine.get_next_available_stream_id()
        size = chance.choice([0, 1, 100, 16384, 70000, 200000])
        fields = [(":method", "POST"), (":scheme", "http"), (":path", f"/{number}"), (":authority", "test")]
        fields += [(f"x-{chance.randrange(30)}", "v" * chance.choice([0, 3, 300])) for _ in range(chance.randrange(10))]
        if chance.random() < 0.5:
            fields.append(("content-length", str(size)))
        priority = {}
        if chance.random() < 0.3:
            priority = {"priority_weight": chance.randrange(1, 257), "priority_exclusive": chance.random() < 0.5}
        self.streams[number] = Stream(size)
        self.opened += 1
        self.machine.send_headers(number, fields, end_stream=size == 0, **priority)

    def send(self):
        sending = [(i, s) for i, s in self.live() if s.left > 0]
        if not sending:
            return
        number, stream = chance.choice(sending)
        padding = chance.choice([None, None, 0, 17, 255])
        room = self.machine.local_flow_control_window(number) - (0 if padding is None else padding + 1)
        frame = self.machine.max_outbound_frame_size - 256
        size = min(stream.left, room, frame, chance.choice([1000, 16000, 100000]))
        if size <= 0:
            return
        data = chance.randbytes(size)
        stream.sent.update(data)
        stream.left -= size
        trailers = stream.left == 0 and chance.random() < 0.3
        self.machine.send_data(number, data, end_stream=stream.left == 0 and not trailers, pad_length=padding)
        if trailers:
            self.machine.send_headers(number, [("x-trailer", "yes")], end_stream=True)

    def acknowledge(self):
        for number, stream in self.live():
            if stream.unacknowledged > 0 and chance.random() < 0.7:
                self.machine.acknowledge_received_data(stream.unacknowledged, number)
                stream.unacknowledged = 0
            # Where windows begin at nothing, or were taken back, the machine gives none by itself.
            if self.machine.remote_flow_control_window(number) < 1000:
                self.machine.increment_flow_control_window(chance.randrange(1, 50000), number)
        if self.machine.inbound_flow_control_window < 30000:
            self.machine.increment_flow_control_window(100000)

    def ask(self):
        self.machine.ping(chance.randbytes(8))

    def cancel(self):
        live = self.live()
        if live and self.resets < 30:
            number, stream = chance.choice(live)
            self.machine.reset_stream(number, error_code=8)
            stream.reset = "ours"
            self.resets += 1

    def change(self):
        # The machine takes any answer for that to its last change.
        if self.unanswered == 0:
            self.unanswered += 1
            self.machine.update_settings(self.some_settings())

    def exchange(self):
        self.out += self.machine.data_to_send()
        pending = authority is not None and self.socket.pending() > 0
        wait = 0 if pending else 0.01
        readable, writable, _ = select.select([self.socket], [self.socket] if self.out else [], [], wait)
        try:
            if writable:
                self.out = self.out[self.socket.send(self.out) :]
            if readable or pending:
                self.receive(self.socket.recv(65536))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass

    def receive(self, data):
        if not data:
            raise SystemExit("the gateway closed the connection")
        for event in self.machine.receive_data(data):
            self.on(event)

    def on(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            raise SystemExit(f"the gateway says goodbye with {event.error_code}")
        if isinstance(event, h2.events.SettingsAcknowledged):
            self.unanswered -= 1
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.status = dict(event.headers)[":status"]
        elif isinstance(event, h2.events.DataReceived):
            stream.got.update(event.data)
            stream.unacknowledged += event.flow_controlled_length
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = stream.reset or f"theirs: {event.error_code}"


client = Client()
client.run()
whole = [s for s in client.streams.values() if s.reset is None]
print(
    json.dumps(
        {
            "streams": len(client.streams),
            "reset": [s.reset for s in client.streams.values() if s.reset not in (None, "ours")],
            "statuses": sorted({s.status for s in whole}),
            "wrong": sum(s.sent.digest() != s.got.digest() for s in whole),
            "summed": sum(s.trailers is not None for s in whole),
            "missummed": sum(s.trailers not in (None, {"x-sum": s.sent.hexdigest()}) for s in whole),
        }
    )
)
