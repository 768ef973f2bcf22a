package main

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listenConfig closes connections whose client acknowledges nothing for longer
// than a heartbeat: a watch that loses its radio closes nothing itself, and
// would count as connected for a quarter of an hour.
var listenConfig = net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
	controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int((35 * time.Second).Milliseconds()))
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}}
