// Package devicesim simulates apps that speak relay's public HTTP API as a real
// app would, each on a HarmonyOS phone of the Push Kit simulator, an iPhone of
// the APNs simulator, or a watch or PC that no push reaches:
//
//	Push Kit, APNs ── push ──► system ──► Device ── confirm, reports ──► relay
//	                             ▲         │  ▲                            │
//	                             └─────────┘  └───────── its feed ─────────┘
//	   Call Service Kit; CallKit, LiveCommunicationKit
//
// It owns what an app does between a wake and the end of the call: it checks
// the wake, confirms, has the system show the call, rings, and does what its
// [Script] says. Beside that it keeps its feed open, which brings the same calls
// as the pushes and says when to stop ringing. It uses only relay's HTTP API and
// the control paths of the simulators.
//
// What it promises:
//
//   - It reports ringing only after a confirm that was answered "ring", and after
//     the system has accepted the call.
//   - It reports every VoIP push to the system, as a call or as an error: on
//     HarmonyOS after the confirm (Push Kit guide, in-app call messages), on iOS
//     before it (Apple, PKPushType.voIP).
//   - Of all wakes of one leg, by push or by feed, one rings. A push for a leg
//     that rings already is reported to the system and to relay as a busy route
//     (Push Kit guide, in-app call messages); one by the feed is ignored.
//   - An alert does nothing until the script taps it.
//   - The reports of one leg are numbered without a gap and sent one after the
//     other. A repeat of a request whose answer was lost is the same byte for
//     byte, so relay sees the same seq with the same content.
//   - A call that is over for relay, by a refused report or by what the feed
//     says, is disconnected on the phone at once. While there is no feed, a live
//     call is looked up instead.
//   - A feed that breaks, falls silent or is drained is opened again with its last
//     cursor, after the pause that relay asked for. A feed that another app took
//     over stays closed until a push comes, or for [Config].YieldFor. A feed that
//     was refused, or whose device was logged out, stays closed.
//   - When Run's context ends, the calls still shown are disconnected on the
//     phone, as a system does for an app that died. Relay learns of it only by
//     live_calls in the registration of the next start.
package devicesim
