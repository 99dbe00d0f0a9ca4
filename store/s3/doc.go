// Package s3 keeps objects in a bucket of Amazon S3, MinIO or another server of
// that protocol, and what was read lately on the local disk.
//
// # What
//
// Store implements store.Objects for many nodes. An object's key is its key in
// the bucket. The bucket belongs to StreamGate alone and has no versioning; a
// rule of the bucket should end multipart uploads that nobody completes (MinIO
// does so after a day by itself).
//
// # Usage
//
//	objects, err := s3.Open(ctx, s3.Options{Endpoint: "minio:9000", Bucket: "media", …, CacheDir: dir})
//	defer objects.Close()
//
// Open refuses a server that does not honour If-None-Match: without it two
// encoders could swap the bytes of a cell that caches keep for ever.
//
// # Guarantees
//
// An object appears whole or not at all: up to 16 MiB in one request that tells
// its length and its MD5, more in parts of which the server makes an object at
// the end. Adopt remembers in the cache folder how far it came, so that after a
// crash the same call sends the parts that are missing; the local file goes when
// the object is there. Compose has the server copy.
//
// Reads go through a cache on disk of a bounded size: objects up to 16 MiB whole,
// larger ones in blocks of 256 kB. Whoever wants the same bytes at the same time
// waits for one request. Whole objects are compared with the checksum that Put
// stored with them, and cached bytes with their CRC-32C. What another node deletes
// or replaces is seen after Options.Fresh at the latest; what this one does, at
// once. While the server cannot be reached, what is cached is served.
//
// ffmpeg reads an object at an address on loopback that nobody can guess, by
// range, through the same cache. Where several processes read the same large objects
// (Options.Peer), each piece of 4 MiB is read from the bucket by one of them.
//
// Every connection has a deadline that moves with its bytes (Options.Stall), every
// short request one of its own. What the server cannot do now is
// store.ErrUnavailable.
//
// # Testing
//
// The suite of store/storetest runs on a real MinIO (make bin/minio), directly and
// through a proxy that answers 503, stalls and cuts bodies.
package s3
