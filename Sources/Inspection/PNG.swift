import CPNG
import DurableFiles
import Foundation

/// What libpng or the file system answered when a picture was written.
public struct PNGError: Error, CustomStringConvertible {
  public let message: String
  public var description: String { message }
}

extension Canvas {
  /// The picture as the bytes of a PNG file (8-bit RGB).
  ///
  /// Through libpng's simplified interface (`png_image_write_to_memory`), which reports errors by value; the classic
  /// one leaves by `longjmp`, which Swift code must not be left by.
  public func pngData() throws(PNGError) -> Data {
    var image = png_image()
    image.version = png_uint_32(PNG_IMAGE_VERSION)
    image.width = png_uint_32(width)
    image.height = png_uint_32(height)
    image.format = png_uint_32(PNG_FORMAT_FLAG_COLOR)
    defer { png_image_free(&image) }

    // libpng reads `3 * width` bytes a row for `height` rows, which is exactly what `pixels` holds.
    var bytes = 0
    guard png_image_write_to_memory(&image, nil, &bytes, 0, pixels, 0, nil) != 0 else {
      throw PNGError(message: "libpng: \(Self.message(of: image))")
    }
    var data = Data(count: bytes)
    let written = data.withUnsafeMutableBytes { target in
      png_image_write_to_memory(&image, target.baseAddress, &bytes, 0, pixels, 0, nil)
    }
    guard written != 0 else { throw PNGError(message: "libpng: \(Self.message(of: image))") }
    return data.prefix(bytes)
  }

  /// Writes the picture to a PNG file, as `AtomicFile` does.
  public func writePNG(to path: String) throws(PNGError) {
    let data = try pngData()
    do throws(FileError) {
      try AtomicFile.write(data, to: path)
    } catch {
      throw PNGError(message: error.description)
    }
  }

  private static func message(of image: png_image) -> String {
    withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}
