import LagKV
import LagoonProtocol
import Testing

@Suite struct SizeTests {
  @Test func elementsAreTheProductOrNothing() {
    let sizes: [UInt32] = [0, 1, 2, 1000, 65_535, 65_536, 1 << 31, .max]
    for tokens in sizes {
      for heads in sizes {
        for headDim in sizes {
          let exact = Double(tokens) * Double(heads) * Double(headDim)
          let elements = TensorSize.elements(tokens: tokens, heads: heads, headDim: headDim)
          if exact <= 0x1p58 {
            #expect(elements.map(Double.init) == exact)
          } else if exact > 0x1p59 {
            #expect(elements == nil)
          }
          // Whatever is let through has a size in bytes.
          if let elements { #expect(!elements.multipliedReportingOverflow(by: 16).overflow) }
        }
      }
    }
  }

  @Test func regionsFitOnlyInside() {
    #expect(TensorSize.fits(offset: 0, bytes: 10, in: 10))
    #expect(TensorSize.fits(offset: 10, bytes: 0, in: 10))
    #expect(TensorSize.fits(offset: 4, bytes: 6, in: 10))
    #expect(!TensorSize.fits(offset: 4, bytes: 7, in: 10))
    #expect(!TensorSize.fits(offset: 11, bytes: 0, in: 10))
    #expect(!TensorSize.fits(offset: .max, bytes: 2, in: 10))
    #expect(!TensorSize.fits(offset: .max - 1, bytes: 4, in: .max))
    #expect(!TensorSize.fits(offset: 1 << 63, bytes: 1, in: .max))
  }

  @Test func namesOfTheWireAndOursAgree() {
    for type in ElementType.allCases {
      #expect(ElementType(type.wire) == type)
      #expect(type.wire.rawValue == Int(type.rawValue))
    }
    for policy in PolicyKind.allCases {
      #expect(PolicyKind(policy.wire) == policy)
      #expect(policy.wire.rawValue == Int(policy.rawValue))
    }
    for codec in Codec.allCases {
      #expect(Codec(codec.wire) == codec)
      #expect(codec.wire.rawValue == Int(codec.rawValue))
    }
    #expect(ElementType(.UNRECOGNIZED(99)) == nil)
    #expect(PolicyKind(.UNRECOGNIZED(-1)) == nil)
    #expect(Codec(.UNRECOGNIZED(256)) == nil)
  }
}
