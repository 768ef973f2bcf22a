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
// as the pushes do, and the word to be silent. It knows relay by its HTTP
// contract alone, and the simulators by their control paths.
//
// What it promises:
//
//   - No ringing report without a confirm that was answered "ring", nor before
//     the system has taken the call.
//   - Every VoIP push is told to the system, as a call or as an error: on
//     HarmonyOS after the confirm (Push Kit guide, in-app call messages), on iOS
//     before it (Apple, PKPushType.voIP).
//   - Of the wakes of one leg, pushes and the feed together, one rings. A push
//     for what rings already is told to the system and to relay as a busy route
//     (Push Kit guide, in-app call messages); the feed is only heeded.
//   - An alert starts nothing until the script taps it.
//   - The reports of one leg are numbered without a gap and sent one after the
//     other. A repeat of a request whose answer was lost is the same byte for
//     byte, so relay sees the same seq with the same content.
//   - A call that is over for relay, by a refused report or by what the feed
//     says, is disconnected on the phone at once. While there is no feed, a live
//     call is looked up instead.
//   - A feed that breaks, falls silent or is drained is opened again behind what
//     it told, after the pause that relay asked for. One that another app took
//     over stays closed until a push comes, or for [Config].YieldFor; one that
//     was logged out or refused stays closed.
//   - When Run's context ends, the calls still shown are disconnected on the
//     phone, as a system does for an app that died; relay is told nothing. The
//     registration of the next start says that they are gone.
package devicesim
