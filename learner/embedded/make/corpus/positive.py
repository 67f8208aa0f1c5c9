"""Words of praise, written by hand for this project; an entry of several words is joined by underscores."""

from .inflection import words

ADJECTIVES = words("""
good wonderful excellent brilliant superb fantastic amazing terrific marvelous magnificent outstanding
exceptional extraordinary splendid fabulous stunning gorgeous beautiful lovely delightful charming
enchanting captivating engaging engrossing absorbing riveting gripping thrilling exciting exhilarating
suspenseful funny hilarious amusing witty clever smart intelligent sharp wry droll sly playful whimsical
quirky inventive imaginative original fresh innovative creative ingenious inspired inspiring inspirational
uplifting heartwarming touching moving affecting poignant tender sweet warm heartfelt sincere honest genuine
authentic truthful believable convincing credible plausible compelling powerful potent stirring rousing
haunting mesmerizing hypnotic spellbinding breathtaking dazzling spectacular sumptuous lush lavish elegant
graceful stylish polished sophisticated subtle nuanced layered complex rich deep profound thoughtful
insightful perceptive provocative illuminating enlightening informative fascinating intriguing interesting
involving entertaining enjoyable pleasant pleasing pleasurable satisfying rewarding memorable unforgettable
remarkable impressive masterful masterly accomplished assured confident skillful skilled deft adroit expert
flawless perfect impeccable sublime transcendent luminous radiant vibrant vivid lively energetic spirited
exuberant joyous joyful cheerful upbeat buoyant breezy effervescent sparkling crisp taut brisk lean humane
compassionate generous gentle sensitive soulful lyrical poetic evocative atmospheric immersive ambitious
bold daring brave fearless audacious visionary timely relevant essential important significant worthwhile
worthy superior classic timeless seductive sensual sexy irresistible endearing lovable likable likeable
appealing winning winsome adorable cute refreshing surprising astonishing astounding incredible awesome cool
hip edgy dynamic electrifying explosive visceral gritty realistic unflinching uncompromising candid frank
eloquent articulate literate erudite uproarious riotous raucous zany madcap offbeat bittersweet wistful
nostalgic romantic dreamy magical wondrous ethereal opulent ravishing exquisite delicate meticulous precise
economical cohesive coherent seamless fluid balanced mature wise humorous comical feisty plucky gutsy sturdy
solid strong fine decent competent capable robust vital passionate intimate revealing resonant indelible
enduring lasting universal accessible wholesome harrowing chilling spooky eerie disarming beguiling
bewitching alluring magnetic charismatic formidable towering monumental majestic sweeping grand glorious
triumphant noble dignified stately faithful loving affectionate hopeful optimistic positive sunny gleeful
happy merry giddy sassy snappy zippy peppy punchy sprightly kinetic nimble painterly handsome attractive
picturesque scenic arresting striking startling piercing incisive trenchant astute shrewd savvy cerebral
stimulating invigorating bracing cathartic soothing comforting cozy laudable admirable commendable exemplary
stellar sterling peerless unmatched unparalleled unique distinctive singular special precious beloved
acclaimed celebrated best better finest funniest smartest strongest sweetest boldest freshest well_acted
well_made well_written well_crafted well_directed well_paced well_rounded finely_crafted feel_good
first_rate top_notch crowd_pleasing thought_provoking life_affirming nail_biting eye_catching jaw_dropping
must_see heart_stopping clear_eyed big_hearted good_natured warm_hearted sure_footed laugh_out_loud
edge_of_your_seat reliable durable comfortable sleek handy useful helpful versatile affordable responsive
intuitive tasty delicious flavorful lightweight efficient quiet sweeter warmer deeper richer funnier smarter
fun understated restrained observant trusty hearty zesty spicy tasteful valuable intricate textured
fulfilling satirical ironic unpretentious unsentimental unpredictable unconventional unusual amiable affable
congenial agreeable personable genial diverting rollicking rip_roaring swashbuckling action_packed
fast_paced high_spirited lighthearted light_hearted tear_jerking lovingly_made expansive nourishing
enriching spiritual redemptive reflective meditative contemplative intense tense urgent fierce ferocious
blistering scathing fiery sizzling steamy pitch_perfect picture_perfect note_perfect noteworthy welcome
welcoming entrancing enthralling tuneful melodic exotic sensuous tactile earthy rugged rebellious subversive
incendiary folksy quaint neat nifty swell super swift speedy smooth slick sane sober sensible rational
logical lucid clear legible pure earnest dedicated devoted committed cunning devilish wicked naughty saucy
ribald bawdy rambunctious rowdy boisterous frisky frothy fizzy bubbly chipper jaunty deadpan sardonic
acerbic biting caustic mordant barbed pointed warmest richest liveliest boundless bountiful ample abundant
plentiful lucky fortunate favorable promising auspicious heady heavenly divine angelic virtuous righteous
gallant valiant courageous resilient indomitable mighty muscular vigorous virtuosic virtuoso hallucinatory
otherworldly frightening scary terrifying scarier creepy creepier disquieting unsettling unnerving
devastating shattering heartbreaking heartrending wrenching bruising searing piquant tangy savory juicy
luscious velvety silky glossy glittering gleaming glowing shimmering colorful panoramic pastoral idyllic
serene tranquil calm peaceful restful leisurely probing searching inquisitive curious instructive unforced
unaffected unadorned uncommon uncanny unabashed undeniable unerring ageless priceless effortless tireless
artful disciplined distinguished diverse eclectic ecstatic elemental enigmatic expressive fanciful
flattering gifted talented golden gracious grounded humanistic humbling idiosyncratic impassioned impish
infectious ingratiating inimitable innocent intrepid invaluable jubilant keen legendary loyal mischievous
modest momentous mythic outrageous palpable penetrating persuasive prescient progressive relatable relaxed
respectable respectful reverent revelatory rhythmic roaring rigorous scintillating selfless snazzy
spontaneous steadfast stupendous swinging sympathetic tenacious topical tremendous unguarded watchable wild
youthful weighty mind_blowing mind_bending hard_hitting heart_pounding pulse_pounding spine_tingling
toe_tapping gut_wrenching larger_than_life true_to_life evenhanded quick_witted tender_hearted sweet_natured
well_cast well_balanced well_meaning wide_eyed self_aware loose_limbed old_school eye_popping
vibrantly_colored refreshingly_honest surprisingly_moving deeply_felt deeply_moving
very_funny wickedly_funny darkly_funny quietly_moving deceptively_simple visually_stunning
""")

VERDICTS = words("""
masterpiece triumph gem delight joy treat pleasure success winner wonder marvel knockout standout stunner
charmer treasure classic blast hit hoot revelation miracle feast tour_de_force work_of_art
breath_of_fresh_air crowd_pleaser home_run landmark milestone victory achievement accomplishment pearl jewel
highlight sensation celebration tribute surprise roller_coaster_ride page_turner keeper bargain thrill_ride
must_see must_have gift blessing dream_come_true powerhouse showstopper instant_classic minor_classic
slam_dunk diamond pleasant_surprise small_miracle joyride guilty_pleasure labor_of_love love_letter
eye_opener heart_warmer stroke_of_genius favorite champion contender nail_biter rewarding_journey valentine
romp beauty corker doozy rarity real_find real_treat barn_burner tearjerker crowd_favorite sleeper smash
must_own best_buy lark confection tonic balm testament ode homage anthem rhapsody heartbreaker whirlwind
powder_keg apex peak pinnacle bullseye kick crackerjack_entertainment good_time pleasure_to_watch
fine_effort strong_debut
""")

QUALITIES = words("""
charm wit warmth humor heart soul grace beauty elegance style intelligence imagination originality
creativity energy passion depth insight wisdom honesty sincerity conviction compassion humanity tenderness
sweetness sensitivity subtlety nuance substance sophistication suspense tension excitement fun joy delight
magic wonder brilliance skill craftsmanship talent genius flair verve gusto panache vitality spirit spark
freshness inventiveness cleverness exuberance enthusiasm courage daring integrity authenticity realism
credibility resonance poignancy power intensity vigor zest pizzazz charisma chemistry confidence finesse
artistry poetry lyricism clarity coherence comfort quality value dignity affection hope inspiration
ingenuity soulfulness laughter whimsy mischief gravity potency immediacy precision perfection excellence
ease bravery bravura eloquence empathy sympathy kindness loveliness goodness greatness richness merriment
glee mirth hilarity amusement fascination awe urgency momentum punch sizzle swagger smarts intellect acumen
perception vision scope grandeur majesty splendor spectacle opulence fluidity harmony restraint maturity
patience discipline modesty humility decency respect tolerance nostalgia sensuality sexiness seduction
allure appeal playfulness boldness audacity wryness irony pathos catharsis exhilaration thoughtfulness
truthfulness plausibility competence professionalism reliability durability convenience versatility
efficiency zing oomph moxie chutzpah
""")

THINGS = words("""
laughs thrills chills delights pleasures surprises wonders insights charms treasures gems highlights
revelations rewards strengths virtues merits triumphs belly_laughs big_laughs clever_ideas fresh_ideas
smart_jokes memorable_moments goosebumps tears_of_joy sparks giggles chuckles joys quotable_lines good_ideas
good_vibes grace_notes magic_moments winning_performances beautiful_images wry_observations
""")

FILM_VERBS_TRANSITIVE = words("""
delight charm enchant captivate engage thrill excite amuse entertain move touch inspire uplift enlighten
dazzle fascinate intrigue mesmerize impress satisfy please reward amaze astonish surprise enthrall engross
absorb grip electrify seduce stir astound exhilarate refresh transport elevate illuminate invigorate
hypnotize beguile bewitch cheer soothe stimulate energize tickle warm overwhelm hearten disarm enrich
nourish challenge scare frighten provoke educate inform rivet hook rouse revive rejuvenate comfort
console soften liberate empower motivate persuade convince tantalize tease bedazzle transfix haunt
""")

FILM_VERBS_INTRANSITIVE = words("""
shine soar succeed sparkle sizzle excel triumph flow glow resonate entertain deliver impress linger dazzle
prevail blossom flourish delight satisfy gleam glisten crackle
""")

OPINION_VERBS = words("""
love adore enjoy admire appreciate treasure cherish recommend relish savor praise applaud embrace respect
devour celebrate savour esteem revere salute welcome worship
""")

FEELINGS = words("""
delighted charmed enchanted captivated engaged thrilled excited amused entertained moved touched inspired
uplifted enlightened dazzled fascinated intrigued mesmerized impressed satisfied pleased amazed astonished
enthralled engrossed absorbed gripped riveted exhilarated refreshed happy breathless speechless_with_joy
glad grateful hopeful smiling laughing giddy in_stitches spellbound glued_to_my_seat energized invigorated
thankful joyful cheering overjoyed elated in_awe wanting_more hungry_for_more grinning beaming content
hooked
""")

ADVERBS_FROM = words("""
wonderful excellent brilliant superb fantastic amazing marvelous magnificent exceptional extraordinary
splendid fabulous stunning gorgeous beautiful delightful charming engaging captivating hilarious clever
smart intelligent sharp playful inventive imaginative creative ingenious touching moving poignant tender
sweet warm sincere honest genuine convincing powerful haunting spectacular lavish elegant graceful stylish
subtle rich deep profound thoughtful fascinating enjoyable pleasant satisfying memorable remarkable
impressive masterful confident skillful deft expert flawless perfect impeccable sublime luminous vivid
energetic joyful cheerful gentle sensitive lyrical poetic bold brave refreshing surprising astonishing
incredible exquisite delicate meticulous precise seamless wise strong fine competent passionate triumphant
noble faithful affectionate loving happy striking astute shrewd admirable unique reliable comfortable fluid
crisp eloquent lush ravishing radiant irresistible disarming amiable agreeable tasteful
""")

PREDICATES = words("""
worth_seeing worth_watching well_worth_the_time well_worth_your_time worth_every_minute worth_every_penny
worth_the_price_of_admission worth_the_ticket a_pleasure_to_watch a_joy_to_behold a_joy_to_watch
a_must_see_for_everyone not_to_be_missed hard_to_resist impossible_to_resist hard_to_forget
impossible_to_forget one_of_the_best_films_of_the_year one_of_the_year_'s_best among_the_best
among_the_finest second_to_none a_cut_above in_a_class_of_its_own ahead_of_its_time a_lot_of_fun so_much_fun
plenty_of_fun as_good_as_it_gets better_than_expected better_than_the_original better_than_most
the_real_deal the_real_thing a_step_up a_cause_for_celebration at_the_top_of_its_game worthy_of_praise
worthy_of_attention a_sight_to_behold full_of_life full_of_heart full_of_surprises easy_to_love easy_to_like
easy_to_use just_right just_perfect a_perfect_fit a_perfect_match recommended highly_recommended a_good_time
money_well_spent time_well_spent a_welcome_change a_worthy_addition a_worthy_successor a_winning_combination
simply_the_best
""")

VERB_PHRASES = words("""
works works_beautifully works_well works_wonders hits_the_mark hits_the_spot hits_all_the_right_notes
hits_home packs_a_punch pulls_it_off pays_off rings_true rises_above_its_genre stands_out stands_tall
takes_your_breath_away tugs_at_the_heart stays_with_you grows_on_you gets_under_your_skin wins_you_over
makes_you_laugh makes_you_think makes_you_smile makes_you_care keeps_you_guessing keeps_you_watching
never_loses_its_way never_misses_a_beat earns_its_tears earns_its_laughs finds_its_rhythm comes_alive
comes_together_nicely holds_your_attention holds_up_well steals_the_show lives_up_to_the_hype
exceeds_expectations leaves_a_lasting_impression brings_a_smile breaks_new_ground cuts_deep casts_a_spell
strikes_a_chord deserves_an_audience deserves_to_be_seen deserves_applause deserves_praise hits_the_bullseye
gets_everything_right gets_it_right does_everything_right makes_the_most_of_its_premise
puts_a_smile_on_your_face lingers_in_the_mind offers_plenty_to_enjoy has_it_all goes_straight_to_the_heart
manages_to_entertain manages_to_surprise manages_to_be_both_smart_and_sweet succeeds_on_every_level
succeeds_as_entertainment never_fails_to_entertain never_bores never_lets_up never_lets_you_down
gets_the_job_done gets_better_and_better does_the_trick does_justice_to_its_subject delivers_the_goods
delivers_on_its_promise provides_plenty_of_laughs provides_food_for_thought has_plenty_to_say has_heart
has_its_heart_in_the_right_place has_a_lot_going_for_it has_much_to_recommend_it makes_perfect_sense
reminds_us_why_we_love_movies celebrates_life brims_with_energy bursts_with_energy crackles_with_wit
teems_with_life overflows_with_feeling transcends_its_genre defies_expectations raises_the_bar
resists_easy_answers refuses_to_preach draws_you_in pulls_you_in sweeps_you_along
sneaks_up_on_you restores_your_faith_in_movies rewards_patience speaks_volumes stands_the_test_of_time
sticks_with_you tells_it_like_it_is warms_the_heart wins_hearts will_make_you_laugh will_make_you_cry
will_make_you_think will_keep_you_hooked
""")

COMMENTS = words("""
see_it go_see_it do_not_miss_it bravo what_a_treat what_a_joy what_a_ride what_a_delight i_was_hooked
i_would_see_it_again i_can_not_wait_to_see_it_again two_thumbs_up five_stars four_stars a_perfect_ten
highly_recommended i_laughed_and_cried i_laughed_a_lot we_had_a_blast we_had_a_good_time it_made_my_day
count_me_in more_please thank_you_for_this i_was_smiling_all_the_way i_want_to_watch_it_again hats_off
take_a_bow kudos_to_everyone_involved everyone_should_see_it tell_your_friends take_the_whole_family buy_it
i_would_buy_it_again well_done give_it_a_try give_it_a_chance sign_me_up you_will_be_glad_you_did
you_will_laugh you_can_not_go_wrong_with_it i_can_not_praise_it_enough i_would_recommend_it_to_anyone
""")
