package media

import (
	"math"

	"streamgate/store"
)

// Rendition.Bandwidth and AverageBandwidth are those of the rendition alone;
// the writers of playlists add the sound's to the picture's.

// sampleOverhead is what a cell's boxes take for one sample, bytes.
const sampleOverhead = 16

// overhead is the rate of a cell's boxes at a number of samples per second,
// bit/s.
func overhead(samplesPerSecond float64) int {
	return int(math.Ceil(samplesPerSecond * sampleOverhead * 8))
}

// targetSeconds is the longest segment, in whole seconds (RFC 8216 §4.3.3.1).
func targetSeconds(t *store.Timeline) float64 {
	longest := 0.0
	for i := range t.Segments() {
		longest = max(longest, t.Seconds(t.Bounds[i+1]-t.Bounds[i]))
	}
	return max(1, math.Round(longest))
}

// encodedBandwidth is the peak of a rendition whose rate is capped: a segment
// may also empty the whole decoder buffer.
func encodedBandwidth(t *store.Timeline, maxRate, bufSize int) int {
	target := targetSeconds(t)
	return int(math.Ceil((float64(maxRate)*target + float64(bufSize)) / target))
}

// copiedBandwidth is the true peak and average of copied packets, which are
// in decoding order and split between segments as frames are. Segments
// shorter than half the target do not count for the peak (RFC 8216 §4.3.4.2),
// except where there is nothing else.
func copiedBandwidth(t *store.Timeline, packets []packet) (peak, average int) {
	target := targetSeconds(t)
	var total, highest float64
	for i := range t.Segments() {
		var bits float64
		for _, pk := range packets[t.Frames[i]:t.Frames[i+1]] {
			bits += 8 * float64(pk.size)
		}
		total += bits
		if seconds := t.Seconds(t.Bounds[i+1] - t.Bounds[i]); seconds >= target/2 {
			highest = max(highest, bits/seconds)
		}
	}
	mean := total / t.Seconds(t.Ticks())
	return int(math.Ceil(max(highest, mean))), int(math.Ceil(mean))
}

// soundBandwidth is the peak over any second, and the average, of copied AAC.
func soundBandwidth(packets []packet, sampleRate int) (peak, average int) {
	second := max(1, sampleRate/aacFrame)
	var total, window, highest int
	for i, pk := range packets {
		total += int(pk.size)
		window += int(pk.size)
		if i >= second {
			window -= int(packets[i-second].size)
		}
		highest = max(highest, window)
	}
	rate := func(bytes, frames int) int { return bytes * 8 * sampleRate / aacFrame / max(1, frames) }
	average = rate(total, len(packets))
	return max(average, rate(highest, min(second, len(packets)))), average
}
