//go:build !linux

package main

import "net"

// listenConfig is the system's own where it has no TCP_USER_TIMEOUT.
var listenConfig net.ListenConfig
