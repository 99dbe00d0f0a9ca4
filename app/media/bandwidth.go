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

// encodedBandwidth is the peak of a rendition whose rate is capped: a segment
// may also empty the whole decoder buffer.
func encodedBandwidth(t *store.Timeline, maxRate, bufSize int) int {
	target := targetDuration(t.Bounds, t.Timescale)
	return int(math.Ceil((float64(maxRate)*target + float64(bufSize)) / target))
}

// copiedRate is the true rate of copied packets, which are in decoding order
// and split between segments as frames are.
func copiedRate(t *store.Timeline, packets []packet) Rate {
	sizes := make([]int64, t.Segments())
	for i := range sizes {
		for _, pk := range packets[t.Frames[i]:t.Frames[i+1]] {
			sizes[i] += int64(pk.size)
		}
	}
	return measure(t.Bounds, t.Timescale, sizes)
}

// sourcePeak is the highest rate of the source's pictures over so many seconds,
// bit/s; 0 if it is not known.
func sourcePeak(packets []packet, timescale uint32, seconds float64) int {
	length := max(1, int64(seconds*float64(timescale)))
	spans, highest := map[int64]int64{}, int64(0)
	for _, pk := range packets {
		if pk.pts != missing {
			spans[pk.pts/length] += int64(pk.size)
			highest = max(highest, spans[pk.pts/length])
		}
	}
	return int(float64(8*highest) * float64(timescale) / float64(length))
}

// sourceLimit is the rate above which an encode of a source cannot show more
// than is there, bit/s; 0 if it is not known. H.264 takes about twice as much
// as the newer codecs do.
func sourceLimit(codec string, peak int) int {
	switch codec {
	case "hevc", "vp9", "av1", "vvc":
		return 2 * peak
	}
	return peak
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
