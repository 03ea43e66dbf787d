//go:build race

package origin_test

// signedAllocs is what a signed token may cost: under the race detector pools drop what they hold at random.
const signedAllocs = 10
