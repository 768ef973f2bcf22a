// Package apnssim simulates Apple's Push Notification service at the level of
// HTTP/2 frames, as Apple's documents describe it (Sending notification
// requests to APNs; Establishing a token-based connection to APNs; Handling
// notification responses from APNs), for tests, relay dev and anyone.
//
//	production ─┐
//	            ├─ TLS, h2 ─► connection: frames, limit of streams ─► verify ─► answer, record ─► device
//	sandbox    ─┘
//	control    ─── plain HTTP: /sim/keys, tokens, faults, freeze, messages, deliveries, connections
//
// A connection allows one stream until it has accepted a request, and then as many
// as Options say. After a refused push it allows one again, until the next
// accepted one, as users of APNs have observed. Streams over the limit are refused
// with REFUSED_STREAM; that Apple does it in this way is an assumption.
//
// The simulator accepts any well-formed token whose state was not set: an even
// number of hexadecimal digits, 64 or more.
package apnssim
