"""What the scenes can hold and how captions name it.

Keys are file stems of the 64 px images in the npm package `emoji-datasource-google`
(Noto Emoji, Apache-2.0), looked up through the package's `emoji.json` by short name.
"""

# Objects anybody may show: short name in emoji.json -> words of the caption. 140 classes.
SAFE = {
    # animals
    "dog2": "dog", "cat2": "cat", "racehorse": "horse", "cow2": "cow", "pig2": "pig", "sheep": "sheep",
    "goat": "goat", "rabbit2": "rabbit", "elephant": "elephant", "monkey": "monkey", "chicken": "chicken",
    "penguin": "penguin", "owl": "owl", "duck": "duck", "parrot": "parrot", "flamingo": "flamingo",
    "turtle": "turtle", "frog": "frog", "crab": "crab", "octopus": "octopus", "dolphin": "dolphin",
    "tropical_fish": "fish", "butterfly": "butterfly", "bee": "bee", "ladybug": "ladybug", "snail": "snail",
    "giraffe_face": "giraffe", "zebra_face": "zebra", "hedgehog": "hedgehog", "kangaroo": "kangaroo",
    "llama": "llama", "peacock": "peacock", "otter": "otter", "beaver": "beaver", "panda_face": "panda",
    "lion_face": "lion", "koala": "koala", "fox_face": "fox", "whale": "whale", "t-rex": "dinosaur",
    # plants
    "tulip": "tulip", "sunflower": "sunflower", "rose": "rose", "cactus": "cactus", "palm_tree": "palm tree",
    "evergreen_tree": "pine tree", "four_leaf_clover": "clover", "maple_leaf": "maple leaf", "mushroom": "mushroom",
    "bouquet": "bouquet",
    # food
    "apple": "apple", "banana": "banana", "grapes": "grapes", "watermelon": "watermelon", "strawberry": "strawberry",
    "cherries": "cherries", "pineapple": "pineapple", "lemon": "lemon", "peach": "peach", "kiwifruit": "kiwi",
    "carrot": "carrot", "corn": "corn", "broccoli": "broccoli", "eggplant": "eggplant", "avocado": "avocado",
    "hamburger": "hamburger", "pizza": "pizza", "hotdog": "hot dog", "taco": "taco", "fries": "fries",
    "sushi": "sushi", "ramen": "noodle soup", "bread": "bread", "croissant": "croissant", "pretzel": "pretzel",
    "cheese_wedge": "cheese", "fried_egg": "fried egg", "doughnut": "donut", "cookie": "cookie",
    "birthday": "birthday cake", "ice_cream": "ice cream", "lollipop": "lollipop", "popcorn": "popcorn",
    "teapot": "teapot", "glass_of_milk": "milk",
    # objects
    "guitar": "guitar", "violin": "violin", "trumpet": "trumpet", "drum_with_drumsticks": "drum", "camera": "camera",
    "tv": "television", "radio": "radio", "computer": "laptop", "iphone": "phone", "bulb": "light bulb", "key": "key",
    "bell": "bell", "book": "book", "pencil2": "pencil", "scissors": "scissors", "umbrella": "umbrella",
    "eyeglasses": "glasses", "crown": "crown", "tophat": "hat", "necktie": "tie", "shirt": "shirt", "jeans": "jeans",
    "dress": "dress", "socks": "socks", "boot": "boots", "handbag": "handbag", "gem": "gem", "chair": "chair",
    "bed": "bed", "toilet": "toilet", "magnet": "magnet", "telescope": "telescope", "gift": "gift",
    "balloon": "balloon", "teddy_bear": "teddy bear", "kite": "kite", "soccer": "soccer ball",
    "basketball": "basketball", "trophy": "trophy", "jigsaw": "puzzle",
    # places and vehicles
    "car": "car", "bus": "bus", "tractor": "tractor", "bike": "bicycle", "airplane": "airplane",
    "helicopter": "helicopter", "rocket": "rocket", "sailboat": "sailboat", "house_with_garden": "house",
    "tent": "tent", "european_castle": "castle", "rainbow": "rainbow", "snowman": "snowman", "anchor": "anchor",
    "hourglass": "hourglass",
}

# Benign stand-ins for concepts of ViSU: concept -> short name -> words.
UNSAFE = {
    "weapons": {"gun": "pistol", "hocho": "knife", "bomb": "bomb", "dagger_knife": "dagger",
                "crossed_swords": "swords", "axe": "axe"},
    "drug use": {"smoking": "cigarette", "syringe": "syringe", "pill": "pill", "beer": "beer", "wine_glass": "wine"},
    "blood": {"drop_of_blood": "blood"},
    "obscene gestures": {"middle_finger": "middle finger"},
    "suffering": {"skull": "skull", "skull_and_crossbones": "crossbones", "coffin": "coffin"},
    "violence": {"facepunch": "fist", "boom": "collision"},
    "vandalism": {"fire": "fire", "firecracker": "firecracker"},
}

# Named without an article.
NO_ARTICLE = {
    "broccoli", "grapes", "cherries", "corn", "fries", "sushi", "noodle soup", "bread", "cheese", "popcorn", "milk",
    "scissors", "glasses", "jeans", "socks", "boots", "swords", "beer", "wine", "blood", "crossbones", "fire",
}

COLOURS = {
    "white": (244, 244, 240), "grey": (150, 150, 150), "blue": (90, 140, 225), "green": (110, 190, 100),
    "yellow": (245, 215, 90), "orange": (245, 160, 70), "pink": (245, 165, 195), "purple": (160, 110, 200),
    "brown": (150, 105, 70), "teal": (80, 180, 175),
}
GRIM = ["dangerous", "grim", "menacing"]
SCENE_WORDS = ["picture", "photo", "scene", "drawing"]
TEMPLATES = ["{}", "a picture of {}", "a photo of {}", "a drawing of {}", "a scene of {}"]
