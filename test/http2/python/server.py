# An HTTP/2 server on python3-h2's state machine for test/http2/reference.test.ts: SEED. It sends requests' bodies back, doing anything that
# a server may in random order, while the machine holds the gateway's frames against the protocol. Prints its port; a frame that the
# machine refuses goes to standard error. Serves until its input ends.
import hashlib
import random
import selectors
import socket
import sys

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

chance = random.Random(int(sys.argv[1]))
codes = h2.settings.SettingCodes
selector = selectors.DefaultSelector()


class Echo:
    """A body on its way back."""

    def __init__(self):
        self.waiting = b""
        self.sum = hashlib.sha256()
        self.begun = False
        self.complete = False
        self.unacknowledged = 0


class Connection:
    def __init__(self, accepted):
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.machine = h2.connection.H2Connection(config)
        self.machine.initiate_connection()
        self.machine.update_settings(self.some_settings())
        self.socket = accepted
        self.streams = {}
        self.out = b""
        self.unanswered = 2  # SETTINGS
        selector.register(accepted, selectors.EVENT_READ, self)

    def some_settings(self):
        return {
            codes.INITIAL_WINDOW_SIZE: chance.choice([0, 1000, 65535, 1 << 20]),
            codes.HEADER_TABLE_SIZE: chance.choice([0, 100, 4096, 65536]),
            codes.MAX_FRAME_SIZE: chance.choice([16384, 20000, 1 << 20]),
            codes.MAX_CONCURRENT_STREAMS: chance.choice([3, 10, 100]),
        }

    def read(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            selector.unregister(self.socket)
            self.socket.close()
            return False
        for event in self.machine.receive_data(data):
            self.on(event)
        return True

    def on(self, event):
        if isinstance(event, h2.events.SettingsAcknowledged):
            self.unanswered -= 1
        elif isinstance(event, h2.events.RequestReceived):
            self.streams[event.stream_id] = Echo()
        elif isinstance(event, h2.events.DataReceived):
            echo = self.streams.get(event.stream_id)
            if echo is None:
                # Cancelled meanwhile: the connection's window goes back all the same.
                self.machine.increment_flow_control_window(event.flow_controlled_length)
                return
            echo.waiting += event.data
            echo.sum.update(event.data)
            echo.unacknowledged += event.flow_controlled_length
        elif isinstance(event, h2.events.StreamEnded):
            if event.stream_id in self.streams:
                self.streams[event.stream_id].complete = True
        elif isinstance(event, h2.events.StreamReset):
            gone = self.streams.pop(event.stream_id, None)
            if gone is not None and gone.unacknowledged > 0:
                self.machine.increment_flow_control_window(gone.unacknowledged)

    def act(self):
        for number, echo in list(self.streams.items()):
            if chance.random() < 0.7:
                self.answer(number, echo)
            if echo.unacknowledged > 0 and chance.random() < 0.5:
                self.machine.acknowledge_received_data(echo.unacknowledged, number)
                echo.unacknowledged = 0
            if not echo.complete and self.machine.remote_flow_control_window(number) < 1000:
                self.machine.increment_flow_control_window(chance.randrange(1, 50000), number)
        if self.machine.inbound_flow_control_window < 30000:
            self.machine.increment_flow_control_window(100000)
        if self.streams and chance.random() < 0.02:
            self.machine.ping(chance.randbytes(8))
        # The machine takes any answer for that to its last change.
        if self.streams and self.unanswered == 0 and chance.random() < 0.01:
            self.unanswered += 1
            self.machine.update_settings(self.some_settings())

    def answer(self, number, echo):
        if not echo.begun:
            echo.begun = True
            # No 103: the client's machine does not know that one may come for a stream that was cancelled.
            fields = [(f"x-{chance.randrange(30)}", "v" * chance.choice([0, 3, 300])) for _ in range(chance.randrange(8))]
            self.machine.send_headers(number, [(":status", "200"), *fields])
        padding = chance.choice([None, None, 0, 17, 255])
        room = self.machine.local_flow_control_window(number) - (0 if padding is None else padding + 1)
        frame = self.machine.max_outbound_frame_size - 256
        size = min(len(echo.waiting), room, frame, chance.choice([1000, 16000, 100000]))
        if size > 0:
            self.machine.send_data(number, echo.waiting[:size], pad_length=padding)
            echo.waiting = echo.waiting[size:]
        if echo.complete and not echo.waiting:
            del self.streams[number]
            if echo.unacknowledged > 0:
                self.machine.acknowledge_received_data(echo.unacknowledged, number)
            if chance.random() < 0.5:
                self.machine.send_headers(number, [("x-sum", echo.sum.hexdigest())], end_stream=True)
            else:
                self.machine.send_data(number, b"", end_stream=True)

    def write(self):
        self.out += self.machine.data_to_send()
        if self.out:
            try:
                self.out = self.out[self.socket.send(self.out) :]
            except BlockingIOError:
                pass
            except ConnectionError:
                self.out = b""


listening = socket.create_server(("127.0.0.1", 0))
listening.setblocking(False)
selector.register(listening, selectors.EVENT_READ)
selector.register(sys.stdin, selectors.EVENT_READ)
print(listening.getsockname()[1], flush=True)
connections = []
while True:
    # Echoes that wait go on by and by, whether or not anything comes.
    for key, _ in selector.select(0.002 if any(c.streams or c.out for c in connections) else None):
        if key.fileobj is sys.stdin:
            sys.exit(0)
        if key.fileobj is listening:
            accepted, _ = listening.accept()
            accepted.setblocking(False)
            connections.append(Connection(accepted))
            continue
        connection = key.data
        try:
            if not connection.read():
                connections.remove(connection)
        except h2.exceptions.ProtocolError as error:
            print(f"refused: {error!r}", file=sys.stderr, flush=True)
            connections.remove(connection)
            selector.unregister(connection.socket)
            connection.socket.close()
    for connection in connections:
        connection.act()
        connection.write()
