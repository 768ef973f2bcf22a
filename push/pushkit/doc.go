// Package pushkit speaks to Huawei's Push Kit REST v3, the push service of
// HarmonyOS 5 and newer, for one AppGallery Connect project.
//
//	push.Message ──► Build ──► one POST {base}/v3/{project}/messages:send ──► ParseAnswer ──► push.Answer
//	                              ▲
//	              service-account JWT (PS256), signed once in 50 minutes, shared
//
// It owns the key file of a service account, the JWT made from it, the form of a
// request, the connections to the vendor, and the meaning of each answer.
//
// What it promises:
//
//   - One Send is one request. Nothing is retried here, redirects are not
//     followed, and a request that was written is never written again.
//   - Send returns by its context's deadline, or by [Config].Timeout when that
//     is earlier; waiting for a connection counts.
//   - The code in the body decides what an answer means. The HTTP status is
//     read only where there is no code, since the documents do not say which
//     status goes with which code (Push Kit REST v3, response codes).
//   - A token counts as dead only if the vendor gave a reason for this very token.
//     The code 80300007 alone is not enough: it also stands for a missing right
//     and for a wrong project.
//   - The private key, the JWT, tokens and names never appear in an error, an
//     answer or a log line.
package pushkit
