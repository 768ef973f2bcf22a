// Package devicesim simulates HarmonyOS apps that speak relay's public HTTP
// API as a real app would, each on a phone of the Push Kit simulator:
//
//	Push Kit simulator ── VoIP message ──► Device ── confirm, reports, polls ──► relay
//	        ▲                                │
//	        └── Call Service Kit: incoming call, states, errors
//
// It owns what an app does between a wake and the end of the call: it checks
// the wake, confirms, shows the call through Call Service Kit, rings, and does
// what its [Script] says. It knows relay by its HTTP contract alone, and the
// simulator by its control paths.
//
// What it promises:
//
//   - No ringing without a confirm that was answered "ring", and no ringing
//     report before Call Service Kit has taken the call.
//   - Every VoIP message is told to Call Service Kit, as a call or as an error,
//     as Push Kit's guide for in-app call messages asks.
//   - The reports of one leg are numbered without a gap and sent one after the
//     other. A repeat of a request whose answer was lost is the same byte for
//     byte, so relay sees the same seq with the same content.
//   - A call that is over for relay, by a refused report or by what a poll says,
//     is disconnected on the phone.
//   - When Run's context ends, the calls still shown are disconnected on the
//     phone, as a system does for an app that died; relay is told nothing.
package devicesim
