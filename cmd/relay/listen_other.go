//go:build !linux

package main

import "net"

// listenConfig is the default on systems without TCP_USER_TIMEOUT.
var listenConfig net.ListenConfig
