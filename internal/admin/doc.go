// Package admin is the management API: REST under /api/v1 with a published OpenAPI 3.1 description, the probes and metrics
// beside it, and a start page. The console and the command line use nothing else.
//
// It promises, over every route:
//
//   - Each route stands in one table of permissions (permissions.go); a route that is missing there cannot be registered.
//   - A user of one tenant sees and changes that tenant's data only: rows of others answer 404, as if they were not there.
//   - A write and its line in the audit trail are one transaction. What was answered 2xx survives kill -9.
//   - Mistakes are answered as problem+json (RFC 9457) that says where and what to do, and never how the store is built.
//   - Bodies are strict: unknown fields, duplicate names and trailing text are refused.
//   - If-Match guards against lost updates (412), and the document cannot be replaced without it (428).
//   - A POST that carries Idempotency-Key is carried out once; repeated, it is given the first answer again, without the
//     secret that the first answer may have shown.
//
// # Signing in
//
// There is no default password. While no administrator exists, EnsureBootstrap issues a bootstrap token that is printed
// once and lives for a day. It signs in to the console and works as a bearer token with the role admin, and creating the
// first administrator spends it together with every session it opened. People then sign in with email and password
// (argon2id), programs with API tokens that can hold no more roles than their user has at the moment they are used.
//
// A browser holds its session in a cookie that is HttpOnly and SameSite=Strict; requests from other origins are refused
// (http.CrossOriginProtection), and so are Host names that were not configured, which is what stops DNS rebinding.
package admin
