import Kernels

// Parts of matrices that are handed down a call.

extension Range<Int> {
  func scaled(by factor: Int) -> Range<Int> { lowerBound * factor..<upperBound * factor }
}

extension UnsafeBufferPointer<Float> {
  func part(_ range: Range<Int>) -> UnsafeBufferPointer<Float> { UnsafeBufferPointer(rebasing: self[range]) }

  /// Rows of a matrix of this width.
  func rows(_ rows: Range<Int>, of width: Int) -> UnsafeBufferPointer<Float> {
    part(rows.scaled(by: width))
  }
}

extension UnsafeMutableBufferPointer<Float> {
  func part(_ range: Range<Int>) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(rebasing: self[range])
  }

  /// Rows of a matrix of this width.
  func rows(_ rows: Range<Int>, of width: Int) -> UnsafeMutableBufferPointer<Float> {
    part(rows.scaled(by: width))
  }

  /// `self = left + right`, element by element; either may be the same memory.
  func setToSum(_ left: UnsafeBufferPointer<Float>, _ right: UnsafeBufferPointer<Float>) {
    precondition(left.count == count && right.count == count)
    Team.split(count) {
      lagoon_add(left.part($0).baseAddress, right.part($0).baseAddress, part($0).baseAddress, $0.count)
    }
  }

  func setToZero() {
    Team.split(count) { part($0).update(repeating: 0) }
  }

  /// Adds a row to each of these rows.
  func addToRows(_ row: UnsafeBufferPointer<Float>) {
    let width = row.count
    Team.split(rows: count / width, of: width) { rows in
      for index in rows {
        let to = self.rows(index..<index + 1, of: width).baseAddress
        lagoon_add(to, row.baseAddress, to, width)
      }
    }
  }
}
