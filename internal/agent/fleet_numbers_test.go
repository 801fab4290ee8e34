package agent

import (
	"os"
	"sync"
)

// fleetSeed draws the same fleet in every run, on every machine.
const fleetSeed = 4

// fleetSize is how many nodes are simulated for each part of docs/fleet.md, and into how many bins they are put.
type fleetSize struct {
	spread, outage, outageBins, day, crashing, lives int
}

var (
	// wholeFleet takes a minute or two. Nodes differ in nothing but chance, so that for what each of them does a thousand tell as much as all.
	wholeFleet = fleetSize{spread: 100_000, outage: 100_000, outageBins: 100, day: 1000, crashing: 20, lives: 1000}
	// partOfFleet is what every run has the time for, also with the race detector.
	partOfFleet = fleetSize{spread: 500, outage: 300, outageBins: 15, day: 4, crashing: 1, lives: 3}
)

// fleetNumbers is all that docs/fleet.md is made of.
type fleetNumbers struct {
	size      fleetSize
	spreads   []spread
	comebacks []comeback
	days      []dayOf
	lives     []livesOf
}

func simulateFleet(size fleetSize) fleetNumbers {
	f := fleetNumbers{size: size, comebacks: comebacks(size.outage, size.outageBins)}
	for _, c := range rotationLimits {
		f.spreads = append(f.spreads, firstRotations(size.spread, c))
	}
	for _, b := range badDays {
		f.days = append(f.days, b.live(size.day, size.crashing))
	}
	for _, life := range lives {
		f.lives = append(f.lives, liveWith(life, size.lives))
	}
	return f
}

var (
	thePart  = sync.OnceValue(func() fleetNumbers { return simulateFleet(partOfFleet) })
	theWhole = sync.OnceValue(func() fleetNumbers { return simulateFleet(wholeFleet) })
)

// wholeFleetToo says whether there is time for all of the fleet: SOAK is set, or docs/fleet.md is to be written.
func wholeFleetToo() bool { return os.Getenv("SOAK") != "" || os.Getenv("UPDATE_DOCS") != "" }

func fleets() []fleetNumbers {
	if wholeFleetToo() {
		return []fleetNumbers{thePart(), theWhole()}
	}
	return []fleetNumbers{thePart()}
}
