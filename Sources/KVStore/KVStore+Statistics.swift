import Synchronization

/// What the store holds and has done since it was opened.
public struct StoreStatistics: Sendable, Hashable {
  public var sessions = 0
  public var quotaBytes = 0
  /// Of slabs that sessions hold.
  public var liveBytes = 0
  /// Of slabs of deleted sessions, not reclaimed yet.
  public var unreclaimedBytes = 0
  /// Size of the data file.
  public var fileBytes = 0
  public var commits = 0
  /// Write transactions that carried commits and other changes.
  public var commitGroups = 0
  public var committedTokens = 0
  /// Pages of 4,096 bytes handed to the system by write transactions, reclaiming included.
  public var pagesWritten = 0
  /// Bytes reserved for staged rows.
  public var stagedBytes = 0
  /// Records found damaged since the store was opened.
  public var quarantinedRecords = 0
  /// Sessions whose kept rows were compressed because nobody used them, and stored raw again because somebody did.
  public var demotions = 0
  public var promotions = 0
}

extension KVStore {
  /// Zeros in a closed store.
  public var statistics: StoreStatistics {
    var statistics = StoreStatistics()
    statistics.quotaBytes = options.quotaBytes
    statistics.fileBytes = dataFileBytes
    statistics.stagedBytes = staging.bytes
    statistics.quarantinedRecords = validated.damagedCount
    let counts = book.withLock { ($0.commits, $0.committedTokens) }
    (statistics.commits, statistics.committedTokens) = counts
    if let counters = ageingIfAny?.counters {
      (statistics.demotions, statistics.promotions) = (counters.demotions, counters.promotions)
    }
    if let counters = writerIfAny?.counters.withLock({ $0 }) {
      statistics.commitGroups = counters.groups
      statistics.pagesWritten = counters.pagesWritten
    }
    let sizes = try? environment.read { view throws(StoreError) in
      (
        view.size(.sessions).entries, view.size(.rows).overflowPages,
        (try? Tombstone.slabs(view)) ?? 0
      )
    }
    if let (sessions, slabPages, tombstoned) = sizes {
      statistics.sessions = sessions
      statistics.unreclaimedBytes = tombstoned * SlabShape.storedBytes
      statistics.liveBytes = max(0, slabPages * SlabShape.pageBytes - statistics.unreclaimedBytes)
    }
    return statistics
  }
}
