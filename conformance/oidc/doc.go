// Package oidc puts a real OpenID provider, the one of github.com/zitadel/oidc with its example storage, before the real
// Postern: metadata, key set and tokens are made by that software. Only the keys are ours, so that they can be rotated, and
// the choice of signed access tokens instead of opaque ones.
package oidc
