package sample

import "testing"

func TestTheSameSeedDrawsTheSame(t *testing.T) {
	t.Setenv("SEED", "")
	drawn := From(t, 7).Uint64()
	if From(t, 7).Uint64() != drawn || From(t, 8).Uint64() == drawn || Random(t).Uint64() == Random(t).Uint64() {
		t.Error("a seed decides nothing, or everything is drawn from one")
	}
	t.Setenv("SEED", "7")
	if From(t, 8).Uint64() != drawn || Random(t).Uint64() != drawn {
		t.Error("SEED does not count")
	}
}
