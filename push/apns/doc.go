// Package apns speaks to Apple's Push Notification service: it builds, signs and
// sends requests over HTTP/2, and classifies the answers.
//
//	Message ─ Build ─▶ apns2.Notification ─ apns2.Client ─▶ transport ─▶ pool ─▶ Apple
//	Answer  ◀─ ParseAnswer ◀── status, body ─────────────────┘            │
//	                                                     http.ClientConn, at most a few
//
// It promises:
//   - Send makes one request, and returns by its deadline, dialling included.
//   - A new connection carries one request until its first answer, and no more
//     than the server's limit of streams after it: with a provider token Apple
//     allows a single stream until a request was accepted (Apple, Sending
//     notification requests to APNs).
//   - A request that the server did not read, because it refused the stream or cut
//     it off by GOAWAY, is sent again within the same attempt. No request is
//     received twice by that.
//   - A connection that stays silent while a request times out gets no more
//     requests.
//   - One provider token per key serves all connections, for 45 to 50 minutes.
//   - apns-expiration is always sent: for VoIP 0, so that no old call rings
//     later, unless the app's policy asks for some seconds; for alerts the end of
//     the ring.
//
// All apps of one team and key share a pool in each environment, because Apple
// binds a connection to the team and key of its first request.
package apns
