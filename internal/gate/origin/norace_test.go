//go:build !race

package origin_test

const signedAllocs = 0
