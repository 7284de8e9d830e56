/// Keys of needles: an adjective and a noun, such as `quiet-harbor`.
enum Word {
  /// How many keys there are.
  static var keys: Int { adjectives.count * nouns.count }

  /// Key `0..<keys`.
  static func key(_ index: Int) -> String {
    adjectives[index / nouns.count] + "-" + nouns[index % nouns.count]
  }

  private static let adjectives = """
    able amber ancient arctic autumn bare bitter blank blue bold brave brief bright brisk broad bronze calm \
    careful cheap clean clear clever cloudy cold coral crimson crisp curly damp daring dark dear deep dense \
    distant dry dusty eager early eastern elder empty even faint fair famous fancy fast final fine firm flat \
    fond formal frank fresh frosty full gentle giant glad golden grand grave great green grey happy hardy \
    hasty heavy hidden high hollow honest humble icy idle inner ivory jolly keen kind large late lazy light \
    little lively lone long loud lovely loyal lucky major mellow merry mighty mild minor misty modest narrow \
    neat new noble northern odd old olive open outer pale patient plain polite proud pure purple quick quiet \
    rapid rare ready red rich ripe rosy rough round royal rusty safe sandy scarlet secret shallow sharp \
    shiny short shy silent silver simple slim slow small smooth soft solid southern spare steady steep stern \
    still stormy strict strong sturdy subtle sudden sunny sweet swift tall tame tender thick thin tidy tiny \
    topaz true upper vast velvet vivid warm wary western white wide wild windy wise witty wooden young
    """.split(separator: " ")

  private static let nouns = """
    acorn anchor apple arrow attic badge bagel bakery banjo barley barrel basin basket beacon beaver bell \
    bench berry bishop blanket boat bonnet bottle bridge brook broom bucket button cabin cable camel candle \
    canoe canyon captain carpet castle cedar cellar chapel cherry circle clock cloud clover coach comet \
    copper cottage cousin cradle crane crown cup curtain daisy dancer desert doctor dolphin donkey door \
    dragon drawer dream drum eagle earth easel ember engine falcon farmer feather fern fiddle field finch \
    flag flame flute forest fork fountain fox garden gate ginger glass glove goose grape grove guitar hammer \
    harbor harp hazel heron hill honey horn horse hotel island ivy jacket jar jewel kettle key king kitchen \
    kite ladder lake lamp lantern lark lemon letter lily lion lobby lumber magnet maple marble market meadow \
    melon mill mirror monk moon morning moss mountain museum music needle nest oak oasis ocean orchard organ \
    otter owl oyster paddle palace panda paper parrot pasture peach pearl pebble pencil pepper piano pigeon \
    pillow pilot pine planet plum pocket pond poplar potato prairie prince puzzle quarry queen quilt rabbit \
    raven ribbon river road robin rocket roof rope rose saddle sailor salmon salt scarf school sea seed \
    shadow sheep shell ship shore singer sky sleigh snow sofa spoon spring square stable star stone stove \
    stream street sugar summer swan table tailor teapot temple thistle thread tiger timber tower trail train \
    tree trumpet tulip tunnel turtle valley vase village violin wagon wall walnut watch water wheat wheel \
    willow window winter wolf wood yard zebra
    """.split(separator: " ")
}
