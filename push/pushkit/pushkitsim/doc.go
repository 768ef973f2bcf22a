// Package pushkitsim is a simulator of Huawei's Push Kit server for HarmonyOS,
// as its public documents describe it, with scripted faults.
//
// One [Sim] is one http.Handler with two sides on one port, plain HTTP:
//
//	sender ── POST /v3/{projectId}/messages:send ───► Sim ──► simulated phones
//	sender ── POST /v1/{clientId}/messages:revoke ──►
//	test, operator, phone ── /sim/... ──────────────► Sim ──► signed receipts
//
// It owns what a sender can see of Push Kit: the check of a service-account
// JWT, the order of the checks, the application codes and their texts, offline
// messages and their time to live, receipts, and what an app gets in its
// callback together with the Call Service Kit's answers to its reports, also on
// calls that came over the app's own connection.
//
// What it promises:
//
//   - A request is checked in this order, and the answer names the first fault:
//     route, bearer, JWT, project, push-type, JSON, payload, pushOptions, size,
//     token count, test limits, penalty and enabled, QPS, tokens.
//   - A phone shows alerts as the system does: an alert replaces the one with the
//     same notifyId, and an alert whose appMessageId was shown in the last 24
//     hours is not shown. A revoke removes a notification that waits for the
//     phone, or that it shows and nobody has clicked.
//   - A push to a dead token (app removed, token replaced) is accepted with
//     80000000. Only a receipt says that the token is dead.
//   - Each request to the vendor side is recorded before its answer is sent,
//     refused ones too. The one exception is the fault "reset", which stands for
//     a connection that broke before the request arrived.
//   - A message is delivered before its answer is sent, unless a fault or the
//     token's state says otherwise.
//   - Memory is bounded by [Limits]; the oldest records are dropped, and counted.
//
// Where Huawei's documents say nothing, the choice is marked "assumption" at the
// constant or function that makes it. The HTTP status that goes with an
// application code is such a choice, except 401, 404, 502 and 503.
//
// # Control side
//
//	PUT    /sim/projects/{id}                       set a project; what is left out stays
//	GET    /sim/projects/{id}, DELETE               show, forget
//	POST   /sim/projects/{id}/service-accounts      make a key; answers the key file
//	PUT    /sim/tokens/{token}                      {"state": "alive|dead|foreign|no_right|offline", ...}
//	GET    /sim/tokens/{token}, DELETE              show, forget
//	PUT    /sim/faults                              one rule or a list; see [Fault]
//	GET    /sim/faults, DELETE                      show with use counts, clear
//	GET    /sim/messages?token=&after=              what was received, oldest first
//	DELETE /sim/messages                            clear
//	GET    /sim/deliveries?token=&after=&wait=      what phones got; long poll, seconds
//	GET    /sim/devices/{token}                     calls and notifications of one phone
//	POST   /sim/devices/{token}/report-incoming-call, /report-call-state-change, /report-incoming-call-error
//	PUT    /sim/devices/{token}/carrier-call        {"active": true}
//	POST   /sim/devices/{token}/click-notification  {"notifyId": 7}
//	PUT    /sim/receipts                            see [ReceiptConfig]
//	GET    /sim/receipts, DELETE                    counters, switch off
//	GET    /sim/healthz                             liveness and counters
//
// A token in a path is path-escaped ("/" as %2F); /sim/tokens?token= and the
// like take it in the query instead. A refused control request gets 4xx and
// {"error": "..."}.
package pushkitsim
