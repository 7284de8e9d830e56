#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An OS thread of its own. `join` must be called once.
struct OSThread: Sendable {
  #if canImport(Glibc)
    private let id: pthread_t
  #else
    /// `nonisolated(unsafe)`: a thread's id may be used from any thread.
    nonisolated(unsafe) private let id: pthread_t
  #endif

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  init(_ run: @escaping @Sendable () -> Void) throws(StoreError) {
    let body = Unmanaged.passRetained(Body(run))
    #if canImport(Glibc)
      var thread = pthread_t()
      let code = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
          return nil
        }, body.toOpaque())
      let created: pthread_t? = thread
    #else
      var created: pthread_t?
      let code = pthread_create(
        &created, nil,
        { argument in
          Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
          return nil
        }, body.toOpaque())
    #endif
    guard code == 0, let created else {
      body.release()
      throw StoreError(.internal, "cannot start a thread", systemCode: code)
    }
    id = created
  }

  func join() { pthread_join(id, nil) }
}
