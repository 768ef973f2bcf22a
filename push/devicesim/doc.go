// Package devicesim simulates apps that speak relay's public HTTP API as a real
// app would, each on a HarmonyOS phone of the Push Kit simulator or an iPhone of
// the APNs simulator:
//
//	Push Kit, APNs ── push ──► system ──► Device ── confirm, reports, polls ──► relay
//	                             ▲          │
//	                             └──────────┘ Call Service Kit; CallKit, LiveCommunicationKit
//
// It owns what an app does between a wake and the end of the call: it checks
// the wake, confirms, has the system show the call, rings, and does what its
// [Script] says. It knows relay by its HTTP contract alone, and the simulators
// by their control paths.
//
// What it promises:
//
//   - No ringing report without a confirm that was answered "ring", nor before
//     the system has taken the call.
//   - Every VoIP push is told to the system, as a call or as an error: on
//     HarmonyOS after the confirm (Push Kit guide, in-app call messages), on iOS
//     before it (Apple, PKPushType.voIP).
//   - An alert starts nothing until the script taps it.
//   - The reports of one leg are numbered without a gap and sent one after the
//     other. A repeat of a request whose answer was lost is the same byte for
//     byte, so relay sees the same seq with the same content.
//   - A call that is over for relay, by a refused report or by what a poll says,
//     is disconnected on the phone.
//   - When Run's context ends, the calls still shown are disconnected on the
//     phone, as a system does for an app that died; relay is told nothing.
package devicesim
