package main

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUserTimeout: what is set on the listener holds for its connections.
func TestUserTimeout(t *testing.T) {
	t.Parallel()
	l, err := listenConfig.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	raw, err := served.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ms int
	if err := raw.Control(func(fd uintptr) { ms, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); err != nil {
		t.Fatal(err)
	}
	if err != nil || ms != 35_000 {
		t.Errorf("TCP_USER_TIMEOUT is %d ms, %v", ms, err)
	}
}
