"""The reader of an answer is woken for what he waits for, and never left waiting."""

import threading

from fwfix.executors.ssh_run import _READ_SIZE, _Inlet

SOUGHT = b"0123-4567:E"


def inlet() -> tuple[_Inlet, threading.Event]:
    event = threading.Event()
    return _Inlet(event, SOUGHT), event


def test_output_in_front_of_the_end_wakes_nobody() -> None:
    pipe, woken = inlet()
    for part in (b"0123-4567:B\n", b"some output\n"):
        pipe.feed(part)
    assert not woken.is_set()
    pipe.feed(b"\n0123-4567:E0\n")
    assert woken.is_set()
    assert pipe.read(_READ_SIZE) == b"0123-4567:B\nsome output\n\n0123-4567:E0\n"


def test_the_end_is_seen_wherever_a_packet_cuts_it() -> None:
    for cut in range(1, len(SOUGHT)):
        pipe, woken = inlet()
        pipe.feed(b"output\n" + SOUGHT[:cut])
        assert not woken.is_set()
        pipe.feed(SOUGHT[cut:])
        assert woken.is_set(), cut


def test_the_rest_of_a_line_that_a_packet_cuts_wakes_the_reader_again() -> None:
    pipe, woken = inlet()
    pipe.feed(b"output\n" + SOUGHT)
    for rest in (b"1", b"2", b"\n"):
        woken.clear()
        pipe.feed(rest)
        assert woken.is_set()
    woken.clear()
    pipe.feed(b"what a process in the background says\n")
    assert not woken.is_set()


def test_the_end_is_seen_byte_by_byte() -> None:
    pipe, woken = inlet()
    for byte in SOUGHT[:-1]:
        pipe.feed(bytes([byte]))
    assert not woken.is_set()
    pipe.feed(SOUGHT[-1:])
    assert woken.is_set()


def test_much_output_wakes_the_reader_before_the_window_is_used_up() -> None:
    pipe, woken = inlet()
    pipe.feed(bytes(_READ_SIZE - 1))
    assert not woken.is_set()
    pipe.feed(b"x")
    assert woken.is_set()
    woken.clear()
    pipe.feed(b"x")
    assert not woken.is_set()


def test_a_closed_stream_wakes_the_reader() -> None:
    pipe, woken = inlet()
    pipe.close()
    assert woken.is_set()
