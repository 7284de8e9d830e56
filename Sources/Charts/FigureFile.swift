import DurableFiles
import Foundation
import Inspection

/// Why a figure was not written.
package struct FigureError: Error, Sendable, Hashable, CustomStringConvertible {
  package let message: String
  package var description: String { message }
}

extension Figure {
  /// What kinds of file there are, by the ends of their names.
  package enum FileKind: String, Sendable, CaseIterable {
    case svg, png

    /// - Throws: for another ending, naming those that are known.
    package init(path: String) throws(FigureError) {
      let ending = (path as NSString).pathExtension.lowercased()
      guard let kind = FileKind(rawValue: ending) else {
        throw FigureError(message: "\(path): a figure is a file that ends in .svg or .png")
      }
      self = kind
    }
  }

  /// Writes the figure, as `AtomicFile` does.
  package func write(to path: String) throws(FigureError) {
    switch try FileKind(path: path) {
    case .svg:
      do throws(FileError) {
        try AtomicFile.write(Data(svg().utf8), to: path)
      } catch {
        throw FigureError(message: error.description)
      }
    case .png:
      do throws(PNGError) {
        try canvas().writePNG(to: path)
      } catch {
        throw FigureError(message: error.message)
      }
    }
  }
}
